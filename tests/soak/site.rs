//! The proxy under load, its origins and its configuration.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use nix::sys::signal::Signal;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::clients;
use crate::origin::{self, Restarted};
use crate::support::{Flux, Nginx, Running, certificate, request, set_mode, wait};
use crate::wire::pattern;

/// A certificate and its key.
struct Pair {
    cert: Vec<u8>,
    key: Vec<u8>,
}

pub(crate) struct Site {
    flux: Running,
    pub(crate) http: SocketAddr,
    pub(crate) https: SocketAddr,
    metrics: SocketAddr,
    /// The text that is reloaded again and again.
    config: String,
    /// Pairs that take each other's place.
    pairs: Vec<Pair>,
    /// Held while there is only half of one, which a reload would refuse, and told so.
    replacing: Mutex<usize>,
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
            "[[tls.certificates]]\nname = \"a\"\ncert = \"tls/a.pem\"\nkey = \"tls/a.key\"\n\
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
        let pairs: Vec<_> = (0..PAIRS).map(|_| Pair::new(flux.dir.path())).collect();
        std::fs::create_dir(flux.dir.path().join("tls")).unwrap();
        pairs[0].put(flux.dir.path(), |path, content| {
            std::fs::write(path, content).unwrap();
            set_mode(path, 0o600);
        });
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
        Self {
            flux,
            http,
            https,
            metrics,
            config,
            pairs,
            replacing: Mutex::new(0),
            restarted,
            _steady: steady,
            turns,
        }
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

    /// Every certificate that may be shown.
    pub(crate) fn certificates(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        self.pairs.iter().for_each(|pair| roots.add(pair.der()).unwrap());
        roots
    }

    /// Another pair in place of the one there is, by `how` of several ways; waits until it is shown.
    pub(crate) fn rotate(&self, how: usize) -> Result<(), String> {
        let mut at = self.replacing.lock().unwrap();
        *at = (*at + 1) % self.pairs.len();
        let pair = &self.pairs[*at];
        match how % 3 {
            0 => pair.put(self.folder(), |path, content| {
                let new = path.with_extension("new");
                std::fs::write(&new, content).unwrap();
                set_mode(&new, 0o600);
                std::fs::rename(new, path).unwrap();
            }),
            1 => pair.put(self.folder(), |path, content| std::fs::write(path, content).unwrap()),
            _ => pair.put(self.folder(), |path, content| {
                std::thread::sleep(std::time::Duration::from_millis(300));
                std::fs::write(path, content).unwrap();
            }),
        }
        drop(at);
        let shown = || clients::shown(self).is_ok_and(|shown| shown == pair.der()).then_some(());
        (0..3).any(|_| wait(shown).is_some()).then_some(()).ok_or_else(|| "never taken".to_owned())
    }

    /// Writes the configuration with `more` after it and reloads; waits until that is `said`.
    pub(crate) fn reload(&self, more: &str, said: &str) -> Result<(), String> {
        let _whole = self.replacing.lock().unwrap();
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

impl Pair {
    fn new(folder: &std::path::Path) -> Self {
        let (cert, key) = certificate(folder, "made", &["a.test"]);
        Self { cert: std::fs::read(cert).unwrap(), key: std::fs::read(key).unwrap() }
    }

    fn der(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(&self.cert).unwrap()
    }

    fn put(&self, folder: &std::path::Path, write: impl Fn(&std::path::Path, &[u8])) {
        write(&folder.join("tls/a.pem"), &self.cert);
        write(&folder.join("tls/a.key"), &self.key);
    }
}

const PAIRS: usize = 4;
/// The virtual host of the origin that is not steady.
pub(crate) const RESTARTED: &str = "restarted.test";
