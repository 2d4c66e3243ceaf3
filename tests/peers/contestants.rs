//! The proxies: each as it is installed, with the least configuration that proxies to one origin.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::outcome::{Arrived, exchange, judge};
use crate::support::{Flux, Running, Strict, folder, wait};
use crate::vectors::with_more_behind;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A proxy that runs in front of an origin of its own.
pub(crate) struct Contestant {
    title: &'static str,
    address: SocketAddr,
    origin: Strict,
    _runs: Runs,
}

/// Ended when dropped.
enum Runs {
    Fluxheim(#[expect(dead_code, reason = "kept for its end")] Running),
    Peer { child: Child, _dir: TempDir },
}

impl Drop for Runs {
    fn drop(&mut self) {
        if let Self::Peer { child, .. } = self {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Contestant {
    pub(crate) fn title(&self) -> &str {
        self.title
    }

    /// Sends a vector with more behind it, and says what came of it.
    pub(crate) fn send(&self, vector: &str) -> String {
        let before = self.origin.seen();
        let answers = exchange(self.address, with_more_behind(vector).as_bytes());
        let (mut requests, garbage) = self.origin.seen();
        let requests = requests.split_off(before.0.len());
        judge(&answers, &Arrived { requests, garbage: garbage.len() - before.1.len() })
    }
}

/// Every proxy, running.
pub(crate) fn all() -> Vec<Contestant> {
    vec![
        fluxheim(),
        peer("nginx 1.22", "nginx", "nginx.conf", nginx, |dir, config| {
            vec!["-p".into(), dir.into(), "-c".into(), config.into(), "-e".into(), "stderr".into()]
        }),
        peer("HAProxy 2.6", "haproxy", "haproxy.cfg", haproxy, |_, config| vec!["-f".into(), config.into()]),
        peer("Caddy 2.11", "caddy", "Caddyfile", caddy, |_, config| {
            vec!["run".into(), "--adapter".into(), "caddyfile".into(), "--config".into(), config.into()]
        }),
        peer("Traefik 3.7", "traefik", "traefik.yml", traefik, |_, config| {
            vec![format!("--configFile={}", config.display()).into()]
        }),
        peer("Envoy 1.40", "envoy", "envoy.yaml", envoy, |_, config| {
            let flags = ["--disable-hot-restart", "--concurrency", "1", "--log-level", "off", "-c"];
            flags.map(PathBuf::from).into_iter().chain([config.into()]).collect()
        }),
    ]
}

fn fluxheim() -> Contestant {
    let origin = Strict::answering(OK);
    let flux = Flux::with(&format!(
        "[[upstreams]]\nname = \"app\"\nservers = [\"{}\"]\n[[vhosts]]\nhosts = [\"a.test\"]\n\
         routes = [{{ path = \"/\", upstream = \"app\" }}]\n",
        origin.address
    ))
    .start();
    Contestant { title: "Fluxheim", address: flux.http(), origin, _runs: Runs::Fluxheim(flux) }
}

type Config = fn(&Path, SocketAddr, SocketAddr) -> String;
type Arguments = fn(&Path, &Path) -> Vec<PathBuf>;

/// Starts a peer. None can choose a port itself; one that was free a moment ago is tried a few times.
fn peer(title: &'static str, program: &str, file: &str, config: Config, arguments: Arguments) -> Contestant {
    let origin = Strict::answering(OK);
    for _ in 0..5 {
        let dir = folder();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let path = dir.path().join(file);
        std::fs::write(&path, config(dir.path(), address, origin.address)).unwrap();
        let mut child = spawn(program, dir.path(), &arguments(dir.path(), &path));
        let up = wait(|| match child.try_wait().unwrap() {
            Some(_) => Some(false),
            None => TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok().then_some(true),
        });
        let runs = Runs::Peer { child, _dir: dir };
        if up == Some(true) {
            let contestant = Contestant { title, address, origin, _runs: runs };
            settle(&contestant);
            return contestant;
        }
    }
    panic!("{program} does not start");
}

/// Some listen before they know their origin.
fn settle(contestant: &Contestant) {
    let plain = crate::vectors::line("GET / HTTP/1.1");
    wait(|| (contestant.send(&plain) == "forwarded").then_some(())).expect("it forwards a plain request");
}

fn spawn(program: &str, dir: &Path, arguments: &[PathBuf]) -> Child {
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/target")), PathBuf::from);
    let own = target.join("peers").join(program);
    let found = if own.exists() { own } else { PathBuf::from(program) };
    Command::new(&found)
        .args(arguments)
        .env("HOME", dir)
        .current_dir(dir)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("{program}: {error}; install it with: scripts/peers"))
}

fn nginx(dir: &Path, address: SocketAddr, origin: SocketAddr) -> String {
    let root = dir.display();
    format!(
        "daemon off; master_process off; pid {root}/pid; events {{}}
         http {{ access_log off; client_body_temp_path {root}/b; proxy_temp_path {root}/p; fastcgi_temp_path {root}/f;
         uwsgi_temp_path {root}/u; scgi_temp_path {root}/s; upstream app {{ server {origin}; keepalive 4; }}
         server {{ listen {address}; location / {{ proxy_pass http://app; proxy_http_version 1.1;
         proxy_set_header Connection \"\"; }} }} }}"
    )
}

fn haproxy(_: &Path, address: SocketAddr, origin: SocketAddr) -> String {
    format!(
        "defaults\n mode http\n timeout connect 5s\n timeout client 30s\n timeout server 30s\n timeout http-request 10s\n\
         frontend in\n bind {address}\n default_backend app\nbackend app\n server app {origin}\n"
    )
}

fn caddy(_: &Path, address: SocketAddr, origin: SocketAddr) -> String {
    format!(
        "{{\n admin off\n auto_https off\n persist_config off\n}}\nhttp://:{} {{\n bind 127.0.0.1\n reverse_proxy {origin}\n}}\n",
        address.port()
    )
}

fn traefik(dir: &Path, address: SocketAddr, origin: SocketAddr) -> String {
    let routes = dir.join("routes.yml");
    let text = format!(
        "http:\n  routers:\n    all: {{ rule: \"PathPrefix(`/`)\", service: app }}\n  services:\n    app:\n      \
         loadBalancer: {{ servers: [{{ url: \"http://{origin}\" }}] }}\n"
    );
    std::fs::write(&routes, text).unwrap();
    format!(
        "global: {{ checkNewVersion: false, sendAnonymousUsage: false }}\nlog: {{ level: ERROR }}\n\
         entryPoints:\n  web: {{ address: \"{address}\" }}\nproviders:\n  file: {{ filename: \"{}\" }}\n",
        routes.display()
    )
}

fn envoy(_: &Path, address: SocketAddr, origin: SocketAddr) -> String {
    let at = |address: SocketAddr| {
        format!("{{ socket_address: {{ address: 127.0.0.1, port_value: {} }} }}", address.port())
    };
    let (address, origin) = (at(address), at(origin));
    let types = "type.googleapis.com/envoy.extensions.filters";
    format!(
        "static_resources:
  listeners:
  - address: {address}
    filter_chains:
    - filters:
      - name: http
        typed_config:
          \"@type\": {types}.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: http
          route_config: {{ virtual_hosts: [{{ name: all, domains: [\"*\"], routes: [{{ match: {{ prefix: / }}, route: {{ cluster: app }} }}] }}] }}
          http_filters:
          - name: router
            typed_config: {{ \"@type\": {types}.http.router.v3.Router }}
  clusters:
  - name: app
    type: STATIC
    load_assignment: {{ cluster_name: app, endpoints: [{{ lb_endpoints: [{{ endpoint: {{ address: {origin} }} }}] }}] }}
"
    )
}
