//! The main job: a real origin behind the image, real clients in front, and a stop under load.

use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tempfile::TempDir;

use crate::callers::Callers;
use crate::docker::{Container, Network, docker, mounted_config, run, volume, wait};

/// A real nginx on the test network's gateway.
struct Origin {
    child: Child,
    address: SocketAddr,
    _dir: TempDir,
}

impl Origin {
    fn serving(gateway: IpAddr, name: &str, content: &[u8]) -> Self {
        let dir = TempDir::new().unwrap();
        crate::docker::set_mode(dir.path(), 0o755);
        std::fs::write(dir.path().join(name), content).unwrap();
        std::fs::write(dir.path().join("small"), b"small").unwrap();
        let address = TcpListener::bind((gateway, 0)).unwrap().local_addr().unwrap();
        let root = dir.path().display();
        let config = format!(
            "daemon off; pid {root}/pid; error_log stderr error; worker_processes 1; events {{ worker_connections 1024; }}
             http {{ access_log off; client_body_temp_path {root}/b; proxy_temp_path {root}/p; fastcgi_temp_path {root}/f;
             uwsgi_temp_path {root}/u; scgi_temp_path {root}/s; keepalive_requests 1000000;
             server {{ listen {address}; root {root}; }} }}"
        );
        std::fs::write(dir.path().join("nginx.conf"), config).unwrap();
        let path = dir.path().join("nginx.conf");
        let child = Command::new("nginx")
            .args(["-c".as_ref(), path.as_os_str()])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| {
                panic!("nginx: {error}; install it with: apt-get install -y nginx-light")
            });
        wait(|| TcpStream::connect(address).is_ok().then_some(())).expect("nginx does not answer");
        Self { child, address, _dir: dir }
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        // The master takes its workers with it on TERM, not on KILL.
        let pid = nix::unistd::Pid::from_raw(self.child.id().cast_signed());
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
        let _ = self.child.wait();
    }
}

fn config(origin: SocketAddr) -> String {
    format!(
        r#"
[server]
http = ["0.0.0.0:8080"]
https = ["0.0.0.0:8443"]
[[tls.certificates]]
name = "a"
cert = "tls/a.test.pem"
key = "tls/a.test.key"
[[tls.certificates]]
name = "b"
cert = "tls/b.test.pem"
key = "tls/b.test.key"
[[upstreams]]
name = "app"
servers = ["{origin}"]
[[vhosts]]
hosts = ["a.test", "b.test"]
[[vhosts.routes]]
path = "/"
upstream = "app"
"#
    )
}

fn ten_mebibytes() -> Vec<u8> {
    (0..10 * 1024 * 1024_u32).map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect()
}

#[test]
fn carries_real_traffic_and_stops_without_losing_any() {
    let network = Network::new();
    let body = ten_mebibytes();
    let origin = Origin::serving(network.gateway(), "big", &body);
    let dir = mounted_config(&config(origin.address), &["a.test", "b.test"]);
    let hardened = ["--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"];
    let flux = Container::run(&[&["--network", &network.0, "-v", &volume(&dir)], &hardened[..]].concat());
    flux.wait_for("\"ready\"");
    let at = flux.address();
    downloads_are_identical(at, &dir, &body);
    certificates_follow_the_name(at);
    hybrid_key_exchange_is_spoken(at, &dir);
    twenty_thousand_requests_succeed(at);
    stop_under_load_loses_nothing(&flux, at);
}

fn downloads_are_identical(at: IpAddr, dir: &TempDir, body: &[u8]) {
    let ca = dir.path().join("tls/a.test.pem");
    for version in ["--http1.1", "--http2"] {
        let output = run(
            "curl",
            "curl",
            &[
                "-sSf",
                version,
                "--cacert",
                ca.to_str().unwrap(),
                "--resolve",
                &format!("a.test:8443:{at}"),
                "https://a.test:8443/big",
            ],
        );
        assert!(output.status.success(), "{version}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(output.stdout == body, "{version}: {} bytes differ from what nginx has", output.stdout.len());
    }
}

fn certificates_follow_the_name(at: IpAddr) {
    for name in ["a.test", "b.test"] {
        let output =
            run("openssl", "openssl", &["s_client", "-connect", &format!("{at}:8443"), "-servername", name]);
        let seen = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(seen.contains(&format!("CN = {name}")), "{name}: {seen}");
    }
}

/// OpenSSL before 3.5 has no X25519MLKEM768, so the client here is rustls with that group alone.
fn hybrid_key_exchange_is_spoken(at: IpAddr, dir: &TempDir) {
    use rustls::pki_types::pem::PemObject;
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    provider.kx_groups.retain(|group| group.name() == rustls::NamedGroup::X25519MLKEM768);
    let mut roots = rustls::RootCertStore::empty();
    let cert = std::fs::read(dir.path().join("tls/a.test.pem")).unwrap();
    roots.add(rustls::pki_types::CertificateDer::from_pem_slice(&cert).unwrap()).unwrap();
    let config = rustls::ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut tls = rustls::ClientConnection::new(Arc::new(config), "a.test".try_into().unwrap()).unwrap();
    let mut tcp = TcpStream::connect((at, 8443)).unwrap();
    tls.complete_io(&mut tcp).unwrap();
    let group = tls.negotiated_key_exchange_group().unwrap().name();
    assert_eq!(group, rustls::NamedGroup::X25519MLKEM768);
}

fn twenty_thousand_requests_succeed(at: IpAddr) {
    let url = format!("https://{at}:8443/small");
    let output = run(
        "h2load",
        "nghttp2-client",
        &["-n", "20000", "-c", "16", "-m", "8", "-H", "Host: a.test", "-H", ":authority: a.test", &url],
    );
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("20000 succeeded, 0 failed, 0 errored, 0 timeout"), "{said}");
    assert!(said.contains("status codes: 20000 2xx"), "{said}");
}

fn stop_under_load_loses_nothing(flux: &Container, at: IpAddr) {
    let callers = Callers::start(16, (at, 8080).into());
    wait(|| (callers.answered() > 500).then_some(())).expect("the load does not start");
    let told = SystemTime::now();
    docker(&["kill", "-s", "TERM", &flux.0]);
    let (last, lost) = callers.finish();
    let code = flux.exit_code();
    let story = story(&flux.logs());
    assert_eq!(code, 0, "{story}");
    assert!(!story.contains("cannot turn new clients away"), "the listeners had to close by luck\n{story}");
    assert!(lost.is_empty(), "told to stop at {told:?}, the proxy lost requests: {lost:#?}\n{story}");
    let idle = finished_at(flux).duration_since(last).unwrap_or_default();
    assert!(idle < Duration::from_secs(5), "took {idle:?} after the last response at {last:?}\n{story}");
}

/// The diagnostics, and the last of the access lines.
fn story(logs: &str) -> String {
    let (access, diagnostics): (Vec<_>, Vec<_>) =
        logs.lines().partition(|line| line.contains("\"client_ip\""));
    let last = access.len().saturating_sub(40);
    [diagnostics, access[last..].to_vec()].concat().join("\n")
}

fn finished_at(flux: &Container) -> SystemTime {
    let text = flux.inspect("{{.State.FinishedAt}}");
    let output = run("date", "coreutils", &["-d", &text, "+%s.%N"]);
    let seconds: f64 = String::from_utf8(output.stdout).unwrap().trim().parse().unwrap();
    SystemTime::UNIX_EPOCH + Duration::from_secs_f64(seconds)
}
