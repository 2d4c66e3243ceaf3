//! The proxy under load, its origins and its configuration.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use nix::sys::signal::Signal;

use crate::clients;
use crate::origin::{self, Restarted};
use crate::support::{Flux, Nginx, Running, certificate, request, wait};
use crate::wire::pattern;

pub(crate) struct Site {
    flux: Running,
    pub(crate) http: SocketAddr,
    pub(crate) https: SocketAddr,
    metrics: SocketAddr,
    /// The text that is reloaded again and again.
    config: String,
    restarted: Mutex<Restarted>,
    _steady: Nginx,
    turns: AtomicUsize,
}

impl Site {
    pub(crate) fn start() -> Self {
        let (medium, big) = (pattern(clients::MEDIUM, 1), pattern(clients::BIG, 2));
        let steady = Nginx::serving(&[("small", b"small"), ("medium", &medium), ("big", &big)]);
        let restarted = Restarted::start();
        let (own, steady_at, restarted_at) = (origin::start(), steady.address, restarted.address);
        let config = format!(
            "[[tls.certificates]]\nname = \"a\"\ncert = \"a.pem\"\nkey = \"a.key\"\n\
             [limits]\nmax_body_size = \"64MiB\"\n\
             [[upstreams]]\nname = \"steady\"\nservers = [\"{steady_at}\"]\nkeepalive_timeout = \"2s\"\nconnect_timeout = \"1m\"\n\
             [[upstreams]]\nname = \"own\"\nservers = [\"{own}\"]\nkeepalive_timeout = \"2s\"\nconnect_timeout = \"1m\"\n\
             [[upstreams]]\nname = \"restarted\"\nservers = [\"{restarted_at}\"]\nkeepalive_timeout = \"2s\"\n\
             [[vhosts]]\nhosts = [\"a.test\", \"127.0.0.1\"]\nroutes = [\n{{ path = \"/\", upstream = \"steady\" }},\n\
             {{ path = \"/site/\", static = \"$DIR/root\" }},\n{{ path = \"/own/\", upstream = \"own\" }},\n]\n\
             [[vhosts]]\nhosts = [\"{RESTARTED}\"]\nroutes = [{{ path = \"/\", upstream = \"restarted\" }}]\n"
        );
        let flux = Flux::server("http = [\"127.0.0.1:0\"]\nhttps = [\"127.0.0.1:0\"]\nthreads = 2", &config)
            .file("root/site/file", &medium);
        certificate(flux.dir.path(), "a", &["a.test"]);
        let path = flux.write();
        // The access log is written, and read by nobody: an hour of it has no place in our memory.
        let program = std::env::var("FLUXHEIM_SOAK_PROGRAM");
        let mut command = Command::new("sh");
        command.args(["-c", "exec \"$0\" \"$@\" >/dev/null"]);
        command.arg(program.as_deref().unwrap_or(env!("CARGO_BIN_EXE_fluxheim")));
        let flux = flux.start_as(&path, command);
        let (http, https, metrics) = (flux.http(), flux.https(), flux.metrics());
        let config = std::fs::read_to_string(&flux.config).unwrap();
        let (restarted, turns) = (Mutex::new(restarted), AtomicUsize::new(0));
        Self { flux, http, https, metrics, config, restarted, _steady: steady, turns }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.flux.pid()
    }

    /// A number that is another one each time, for variety that can be told.
    pub(crate) fn turn(&self) -> usize {
        self.turns.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn folder(&self) -> &std::path::Path {
        self.flux.dir.path()
    }

    /// Writes the configuration with `more` after it and reloads; waits until that is `said`.
    pub(crate) fn reload(&self, more: &str, said: &str) -> Result<(), String> {
        std::fs::write(&self.flux.config, format!("{}{more}", self.config)).unwrap();
        let before = self.said(said);
        self.flux.signal(Signal::SIGHUP);
        // Three times as long as tests wait for anything else.
        let done = (0..3).any(|_| wait(|| (self.said(said) > before).then_some(())).is_some());
        done.then_some(()).ok_or_else(|| format!("not said: {said}"))
    }

    /// How often that was said so far.
    fn said(&self, message: &str) -> usize {
        self.flux.said().matches(message).count()
    }

    /// Kills the origin that is not steady, leaves its port closed for a while and starts it again.
    pub(crate) fn restart_origin(&self) -> Result<(), String> {
        self.restarted
            .lock()
            .unwrap()
            .restart()
            .then_some(())
            .ok_or_else(|| "nginx does not start again".to_owned())
    }

    /// The sum of a metric over its label sets that `fit`.
    pub(crate) fn metric(&self, name: &str, fit: impl Fn(&str) -> bool) -> f64 {
        let text = String::from_utf8(request(self.metrics, "x", "/metrics").body).unwrap();
        let lines = text.lines().filter_map(|line| line.strip_prefix(name)?.rsplit_once(' '));
        let own = lines.filter(|(labels, _)| labels.is_empty() || labels.starts_with('{'));
        own.filter(|(labels, _)| fit(labels)).map(|(_, value)| value.parse::<f64>().unwrap()).sum()
    }

    /// Still there, answers all it did at the start, and no 5xx but of the origin that was restarted.
    pub(crate) fn judge(&self) {
        let ours = |labels: &str| labels.contains("code=\"5") && !labels.contains(RESTARTED);
        assert_eq!(self.metric("fluxheim_http_requests_total", ours), 0.0, "answered with 5xx for no reason");
        assert!(self.metric("fluxheim_http_requests_total", |labels| labels.contains("code=\"200\"")) > 0.0);
        let back = wait(|| clients::restarted(self).ok().filter(|done| done.answered > 0));
        assert!(back.is_some(), "the restarted origin is not used again");
    }
}

/// The virtual host of the origin that is not steady.
pub(crate) const RESTARTED: &str = "restarted.test";
