//! TLS to upstreams: whom we believe, what we show, and which connections are used again.

use nix::sys::signal::Signal;
use rustls::version::{TLS12, TLS13};

use crate::support::{Answer, Flux, Peer, Running, certificate, request, server_config};

const BOTH: &[&rustls::SupportedProtocolVersion] = &[&TLS13, &TLS12];

/// Certificates for an origin, another one, and us.
fn folder() -> tempfile::TempDir {
    let dir = crate::support::folder();
    certificate(dir.path(), "origin", &["app.test"]);
    certificate(dir.path(), "other", &["app.test"]);
    certificate(dir.path(), "us", &["us.test"]);
    dir
}

fn origin(dir: &tempfile::TempDir) -> Peer {
    Peer::start(Answer::Http1, Some(server_config(dir.path(), "origin", BOTH, &[b"http/1.1"], None)))
}

fn config(origin: &Peer, dir: &tempfile::TempDir, tls: &str) -> String {
    let tls = tls.replace("$CERTS", dir.path().to_str().unwrap());
    format!(
        "[[upstreams]]\nname = \"app\"\nservers = [\"{}\"]\n[upstreams.tls]\n{tls}\n[[vhosts]]\nhosts = [\"*\"]\n\
         [[vhosts.routes]]\npath = \"/\"\nupstream = \"app\"\n",
        origin.address
    )
}

fn flux(origin: &Peer, dir: &tempfile::TempDir, tls: &str) -> Running {
    // One worker, so that a kept connection is found by whoever comes next.
    Flux::server("http = [\"127.0.0.1:0\"]\nthreads = 1", &config(origin, dir, tls)).start()
}

const GOOD: &str = "ca = \"$CERTS/origin.pem\"\nserver_name = \"app.test\"";

fn status(flux: &Running) -> u16 {
    request(flux.http(), "x.test", "/").status
}

#[test]
fn believes_the_ca_that_is_named_and_sends_the_name() {
    let dir = folder();
    let origin = origin(&dir);
    let flux = flux(&origin, &dir, GOOD);
    assert_eq!(request(flux.http(), "x.test", "/").body, b"hello");
    let seen = origin.tls();
    assert_eq!(seen[0].name.as_deref(), Some("app.test"));
    assert_eq!(seen[0].group.as_deref(), Some("X25519MLKEM768"));
    assert!(!seen[0].certificate);
    // The request is the client's, whatever the name of the connection.
    assert!(origin.requests()[0].contains("host: x.test"));
}

#[test]
fn believes_nobody_else() {
    let dir = folder();
    let origin = origin(&dir);
    for tls in [
        "ca = \"$CERTS/other.pem\"\nserver_name = \"app.test\"",
        "ca = \"$CERTS/origin.pem\"\nserver_name = \"elsewhere.test\"",
        // By the address that is in servers.
        "ca = \"$CERTS/origin.pem\"",
        // The public CAs.
        "server_name = \"app.test\"",
    ] {
        let flux = flux(&origin, &dir, tls);
        assert_eq!(status(&flux), 502, "{tls}");
        assert_eq!(flux.access_line("/")["error"], "upstream_tls_failed", "{tls}");
    }
    assert!(origin.requests().is_empty());
}

#[test]
fn verifies_a_server_given_by_address_by_its_address() {
    let dir = folder();
    certificate(dir.path(), "ip", &["127.0.0.1"]);
    let config = server_config(dir.path(), "ip", BOTH, &[], None);
    let origin = Peer::start(Answer::Http1, Some(config));
    let flux = flux(&origin, &dir, "ca = \"$CERTS/ip.pem\"");
    assert_eq!(status(&flux), 200);
    assert_eq!(origin.tls()[0].name, None);
}

#[test]
fn believes_anybody_only_when_told_so_and_says_so() {
    let dir = folder();
    let origin = origin(&dir);
    let flux = flux(&origin, &dir, "insecure_skip_verify = true");
    assert_eq!(status(&flux), 200);
    assert_eq!(flux.wait_for_start_of("insecure_skip_verify is on")["upstream"], "app");
}

#[test]
fn shows_its_certificate_to_those_who_ask() {
    let dir = folder();
    let config = server_config(dir.path(), "origin", BOTH, &[], Some("us"));
    let origin = Peer::start(Answer::Http1, Some(config));
    let with = flux(&origin, &dir, &format!("{GOOD}\ncert = \"$CERTS/us.pem\"\nkey = \"$CERTS/us.key\""));
    assert_eq!(status(&with), 200);
    assert!(origin.tls()[0].certificate);
    let without = flux(&origin, &dir, GOOD);
    assert_eq!(status(&without), 502);
    assert_eq!(origin.requests().len(), 1);
}

#[test]
fn speaks_no_older_version_than_it_may() {
    let dir = folder();
    let config = server_config(dir.path(), "origin", &[&TLS12], &[], None);
    let origin = Peer::start(Answer::Http1, Some(config));
    assert_eq!(status(&flux(&origin, &dir, GOOD)), 200);
    let flux = flux(&origin, &dir, &format!("{GOOD}\nmin_version = \"1.3\""));
    assert_eq!(status(&flux), 502);
    assert_eq!(flux.access_line("/")["error"], "upstream_tls_failed");
    assert_eq!(origin.requests().len(), 1, "a request went out on a connection that is too old");
    let new = Peer::start(Answer::Http1, Some(server_config(dir.path(), "origin", BOTH, &[], None)));
    assert_eq!(status(&self::flux(&new, &dir, &format!("{GOOD}\nmin_version = \"1.3\""))), 200);
}

fn reload(flux: &Running, config: &str, times: usize) {
    let text = std::fs::read_to_string(&flux.config).unwrap();
    let at = text.find("[[upstreams]]").unwrap();
    std::fs::write(&flux.config, format!("{}{config}", &text[..at])).unwrap();
    flux.signal(Signal::SIGHUP);
    flux.wait_for_times("configuration reloaded", times);
}

#[test]
fn a_reload_keeps_connections_that_are_made_alike_and_no_others() {
    let dir = folder();
    let origin = origin(&dir);
    let flux = flux(&origin, &dir, GOOD);
    assert_eq!((status(&flux), origin.connections()), (200, 1));
    reload(&flux, &config(&origin, &dir, GOOD), 1);
    assert_eq!((status(&flux), origin.connections()), (200, 1));
    // Another file with the same name for the CA: the idle connection must not serve.
    std::fs::copy(dir.path().join("other.pem"), dir.path().join("origin.pem")).unwrap();
    reload(&flux, &config(&origin, &dir, GOOD), 2);
    assert_eq!(status(&flux), 502);
    assert_eq!(origin.requests().len(), 2);
}

#[test]
fn starts_with_no_file_missing() {
    let dir = folder();
    let origin = origin(&dir);
    for (tls, told) in [
        ("ca = \"$CERTS/none.pem\"", "none.pem"),
        ("ca = \"$CERTS/us.key\"", "no BEGIN CERTIFICATE"),
        ("cert = \"$CERTS/us.pem\"\nkey = \"$CERTS/none.key\"", "none.key"),
        ("cert = \"$CERTS/us.pem\"\nkey = \"$CERTS/origin.key\"", "us.pem"),
    ] {
        let output = Flux::with(&config(&origin, &dir, tls)).run_to_end();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(78), "{tls}: {said}");
        assert!(said.contains(told) && said.contains("app"), "{tls}: {said}");
    }
}

#[test]
fn holds_client_keys_to_the_rules_of_all_private_keys() {
    let dir = folder();
    let origin = origin(&dir);
    let tls = format!("{GOOD}\ncert = \"$CERTS/us.pem\"\nkey = \"$CERTS/us.key\"");
    let flux = Flux::with(&config(&origin, &dir, &tls));
    let path = flux.write();
    let check = || crate::support::program(&["--config", path.to_str().unwrap(), "--check-tls-storage"]);
    // Where root asks, the service user is meant, who then owns them.
    if nix::unistd::geteuid().is_root() {
        let own = |path: &std::path::Path| std::os::unix::fs::chown(path, Some(65532), Some(65532)).unwrap();
        std::fs::read_dir(dir.path()).unwrap().for_each(|entry| own(&entry.unwrap().path()));
    }
    let good = check();
    let said = String::from_utf8_lossy(&good.stdout).into_owned();
    // The names of a client's certificate are nobody's hosts, and it need not be good for a server.
    assert_eq!(good.status.code(), Some(0), "{said}");
    for file in ["origin.pem", "us.pem", "us.key"] {
        assert!(said.contains(file), "{file}: {said}");
    }
    assert!(!said.contains("name-not-covered"), "{said}");
    crate::support::set_mode(&dir.path().join("us.key"), 0o644);
    let bad = check();
    let said = String::from_utf8_lossy(&bad.stdout).into_owned();
    assert!(
        bad.status.code() == Some(78) && said.contains("refused private key of upstreams \"app\""),
        "{said}"
    );
    assert_eq!(flux.run_to_end().status.code(), Some(78));
}

#[test]
fn takes_no_first_client_key_without_a_new_start() {
    let dir = folder();
    let origin = origin(&dir);
    let flux = flux(&origin, &dir, GOOD);
    let text = std::fs::read_to_string(&flux.config).unwrap();
    let at = text.find("[[upstreams]]").unwrap();
    let tls = format!("{GOOD}\ncert = \"$CERTS/us.pem\"\nkey = \"$CERTS/us.key\"");
    std::fs::write(&flux.config, format!("{}{}", &text[..at], config(&origin, &dir, &tls))).unwrap();
    flux.signal(Signal::SIGHUP);
    let line = flux.wait_for("reload refused: the running configuration stays");
    assert!(line["mistakes"].as_str().unwrap().contains("restart"), "{line}");
    assert_eq!(status(&flux), 200);
}

#[test]
fn tells_the_client_before_tls() {
    use std::io::{Read, Write};
    let dir = folder();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let tls = GOOD.replace("$CERTS", dir.path().to_str().unwrap());
    let flux = Flux::with(&format!(
        "[[upstreams]]\nname = \"app\"\nservers = [\"{}\"]\nproxy_protocol = \"v1\"\n[upstreams.tls]\n{tls}\n\
         [[vhosts]]\nhosts = [\"*\"]\n[[vhosts.routes]]\npath = \"/\"\nupstream = \"app\"\n",
        listener.local_addr().unwrap()
    ))
    .start();
    let config = server_config(dir.path(), "origin", BOTH, &[], None);
    let origin = std::thread::spawn(move || {
        let (mut tcp, _) = listener.accept().unwrap();
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            let mut byte = [0; 1];
            tcp.read_exact(&mut byte).unwrap();
            line.push(byte[0]);
        }
        let mut stream = rustls::StreamOwned::new(rustls::ServerConnection::new(config).unwrap(), tcp);
        assert!(stream.read(&mut [0; 4096]).unwrap() > 0);
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello").unwrap();
        stream.flush().unwrap();
        String::from_utf8(line).unwrap()
    });
    assert_eq!(request(flux.http(), "x.test", "/").body, b"hello");
    let line = origin.join().unwrap();
    assert!(line.starts_with("PROXY TCP4 127.0.0.1 127.0.0.1 "), "{line}");
    assert!(line.ends_with(&format!(" {}\r\n", flux.http().port())), "{line}");
}
