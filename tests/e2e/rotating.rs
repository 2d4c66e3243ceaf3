//! Certificates and other files that are replaced while the proxy runs, by every way that tools have.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::support::{Flux, Running, certificate, folder, request, run, set_mode, wait};

#[path = "../kubelet.rs"]
mod kubelet;

use kubelet::{Mounted, SecretVolume};

#[path = "rotating/alarms.rs"]
mod alarms;
#[path = "rotating/others.rs"]
mod others;
#[path = "rotating/sessions.rs"]
mod sessions;

/// A certificate and its key, as they lie somewhere else.
struct Pair {
    cert: Vec<u8>,
    key: Vec<u8>,
    der: CertificateDer<'static>,
}

/// So many different pairs for `a.test`.
fn pairs(count: usize) -> Vec<Pair> {
    let dir = folder();
    (0..count).map(|_| Pair::at(&certificate(dir.path(), "made", &["a.test"]))).collect()
}

impl Pair {
    fn at((cert, key): &(PathBuf, PathBuf)) -> Self {
        let (cert, key) = (fs::read(cert).unwrap(), fs::read(key).unwrap());
        let der = CertificateDer::from_pem_slice(&cert).unwrap();
        Self { cert, key, der }
    }

    /// Where it was not yet.
    fn put(&self, folder: &Path) {
        write(&folder.join("a.pem"), &self.cert);
        write(&folder.join("a.key"), &self.key);
    }
}

/// In place, and not for others to read.
fn write(path: &Path, content: &[u8]) {
    if !path.exists() {
        fs::write(path, "").unwrap();
        set_mode(path, 0o600);
    }
    fs::write(path, content).unwrap();
}

fn rename_over(path: &Path, content: &[u8]) {
    let new = path.with_extension("new");
    write(&new, content);
    fs::rename(new, path).unwrap();
}

/// In two writes, as a copy over a slow line would be.
fn write_slowly(path: &Path, content: &[u8]) {
    let mut file = fs::File::create(path).unwrap();
    let (first, rest) = content.split_at(content.len() / 2);
    file.write_all(first).unwrap();
    std::thread::sleep(Duration::from_millis(150));
    file.write_all(rest).unwrap();
}

/// Clients that know every one of `pairs`, and no other certificate.
fn client(pairs: &[Pair]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    pairs.iter().for_each(|pair| roots.add(pair.der.clone()).unwrap());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    // Each handshake shows a certificate, and proves that its key is there.
    config.resumption = rustls::client::Resumption::disabled();
    Arc::new(config)
}

type Connected = StreamOwned<ClientConnection, TcpStream>;

fn connect(at: SocketAddr, config: &Arc<ClientConfig>) -> Result<Connected, String> {
    let tcp = TcpStream::connect(at).map_err(|error| error.to_string())?;
    tcp.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let client = ClientConnection::new(Arc::clone(config), "a.test".try_into().unwrap()).unwrap();
    let mut tls = StreamOwned::new(client, tcp);
    tls.conn.complete_io(&mut tls.sock).map_err(|error| error.to_string())?;
    Ok(tls)
}

fn shown(at: SocketAddr, config: &Arc<ClientConfig>) -> Result<CertificateDer<'static>, String> {
    let tls = connect(at, config)?;
    tls.conn.peer_certificates().and_then(<[_]>::first).cloned().ok_or_else(|| "no certificate".to_owned())
}

/// Waits until new handshakes show `pair`.
fn until_shown(flux: &Running, config: &Arc<ClientConfig>, pair: &Pair, what: &str) {
    let shown = || (shown(flux.https(), config).unwrap() == pair.der).then_some(());
    wait(shown).unwrap_or_else(|| panic!("{what}: never taken; {}", flux.said()));
}

/// Clients that do handshakes without a pause; all of them succeed.
struct Crowd {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicUsize>,
    threads: Vec<std::thread::JoinHandle<Vec<String>>>,
}

impl Crowd {
    fn of(count: usize, at: SocketAddr, config: &Arc<ClientConfig>) -> Self {
        let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let one = || {
            let (stop, done, config) = (Arc::clone(&stop), Arc::clone(&done), Arc::clone(config));
            std::thread::spawn(move || {
                let mut failed = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    failed.extend(shown(at, &config).err());
                    done.fetch_add(1, Ordering::Relaxed);
                }
                failed
            })
        };
        let threads = (0..count).map(|_| one()).collect();
        Self { stop, done, threads }
    }

    /// How many handshakes there were.
    fn judge(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            assert_eq!(thread.join().unwrap(), [""; 0], "failed handshakes");
        }
        self.done.load(Ordering::Relaxed)
    }
}

fn config(tls: &str, cert: &str, key: &str) -> String {
    format!(
        "{tls}\n[[tls.certificates]]\nname = \"a\"\ncert = \"{cert}\"\nkey = \"{key}\"\n\
         [[vhosts]]\nhosts = [\"a.test\"]\nroutes = [{{ path = \"/\", static = \"$DIR/site\" }}]\n"
    )
}

/// The pair in a folder below that of the configuration, and a site of one large file.
fn site(tls: &str, pair: &Pair) -> Running {
    let config = config(tls, "$DIR/tls/a.pem", "$DIR/tls/a.key");
    let flux = Flux::server("http = [\"127.0.0.1:0\"]\nhttps = [\"127.0.0.1:0\"]", &config)
        .file("site/big", &vec![b'x'; 8 << 20])
        .file("site/small", b"small")
        .file("tls/.keep", b"");
    pair.put(&flux.dir.path().join("tls"));
    flux.start()
}

fn metric(flux: &Running, start: &str) -> Option<f64> {
    let text = String::from_utf8(request(flux.metrics(), "x", "/metrics").body).unwrap();
    text.lines().find_map(|line| line.strip_prefix(start)?.rsplit_once(' ')?.1.parse().ok())
}

const TAKEN: &str = "fluxheim_file_reloads_total{role=\"certificate\"";
const FAILED: &str = "fluxheim_file_reload_failed{role=\"certificate\",name=\"tls.certificates a\"";

fn get(tls: &mut Connected, path: &str) -> Vec<u8> {
    tls.write_all(format!("GET {path} HTTP/1.1\r\nHost: a.test\r\n\r\n").as_bytes()).unwrap();
    let mut got = Vec::new();
    let mut buffer = [0; 4096];
    while !got.ends_with(b"small") {
        let read = tls.read(&mut buffer).unwrap();
        assert!(read > 0, "closed after {:?}", String::from_utf8_lossy(&got));
        got.extend_from_slice(&buffer[..read]);
    }
    got
}

#[test]
fn a_hundred_rotations_of_every_kind_cost_no_handshake_and_no_connection() {
    let pairs = pairs(7);
    let flux = site("", &pairs[0]);
    let (clients, tls) = (client(&pairs), flux.dir.path().join("tls"));
    let (cert, key) = (tls.join("a.pem"), tls.join("a.key"));
    let mut long = connect(flux.https(), &clients).unwrap();
    get(&mut long, "/small");
    let mut download = connect(flux.https(), &clients).unwrap();
    download.write_all(b"GET /big HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n").unwrap();
    let crowd = Crowd::of(2, flux.https(), &clients);
    let mut slowest = Duration::ZERO;
    for number in 1..=100 {
        let pair = &pairs[number % pairs.len()];
        let how = match number % 8 {
            0 => {
                rename_over(&cert, &pair.cert);
                rename_over(&key, &pair.key);
                "renamed over"
            }
            1 => {
                rename_over(&key, &pair.key);
                std::thread::sleep(Duration::from_millis(400));
                rename_over(&cert, &pair.cert);
                "the key a good while before the certificate"
            }
            2 => {
                write(&cert, &pair.cert);
                write(&key, &pair.key);
                "written in place"
            }
            3 => {
                write_slowly(&key, &pair.key);
                write_slowly(&cert, &pair.cert);
                "written in place, slowly"
            }
            4 => {
                fs::remove_file(&cert).unwrap();
                fs::remove_file(&key).unwrap();
                std::thread::sleep(Duration::from_millis(200));
                pair.put(&tls);
                "removed and made anew"
            }
            5 => {
                fs::remove_dir_all(&tls).unwrap();
                std::thread::sleep(Duration::from_millis(100));
                fs::create_dir(&tls).unwrap();
                pair.put(&tls);
                "in a folder that was made anew"
            }
            6 => {
                let new = flux.dir.path().join("tls.new");
                fs::create_dir(&new).unwrap();
                pair.put(&new);
                fs::rename(&tls, flux.dir.path().join("tls.old")).unwrap();
                fs::rename(&new, &tls).unwrap();
                fs::remove_dir_all(flux.dir.path().join("tls.old")).unwrap();
                "in another folder of that name"
            }
            _ => {
                pair.put(&tls);
                flux.signal(Signal::SIGHUP);
                "with a reload at the same time"
            }
        };
        let began = Instant::now();
        until_shown(&flux, &clients, pair, how);
        slowest = slowest.max(began.elapsed());
        // A bit at a time, so that it is in flight all the while.
        download.read_exact(&mut [0; 64 << 10]).unwrap();
        if number % 10 == 0 {
            get(&mut long, "/small");
        }
    }
    let handshakes = crowd.judge();
    println!("{handshakes} handshakes, the slowest rotation was taken after {slowest:?}");
    assert!(handshakes > 300, "{handshakes}");
    get(&mut long, "/small");
    let mut got = Vec::new();
    download.read_to_end(&mut got).unwrap();
    assert!(got.len() > (8 << 20) - 100 * (64 << 10), "{} bytes", got.len());
    assert_eq!(metric(&flux, FAILED), Some(0.0));
    assert!(!flux.said().contains("what can't be used"), "{}", flux.said());
}

#[test]
fn takes_a_volume_that_is_exchanged_by_a_link_as_one_pair() {
    let pairs = pairs(5);
    let files = |pair: usize| {
        let pair = &pairs[pair % pairs.len()];
        [("a.pem", &*pair.cert), ("a.key", &*pair.key)]
    };
    let dir = folder();
    let volume = SecretVolume::new(dir.path(), 0o400, 0, &files(0));
    let [cert, key] = ["a.pem", "a.key"].map(|name| volume.path(name).to_str().unwrap().to_owned());
    let flux = Flux::server("https = [\"127.0.0.1:0\"]", &config("", &cert, &key));
    let flux = flux.file("site/small", b"small").start();
    let clients = client(&pairs);
    let crowd = Crowd::of(2, flux.https(), &clients);
    for number in 1..=20 {
        volume.rotate(&files(number));
        until_shown(&flux, &clients, &pairs[number % pairs.len()], "exchanged by a link");
    }
    crowd.judge();
    assert!(!flux.said().contains("what can't be used"), "{}", flux.said());
    assert_eq!(metric(&flux, TAKEN), Some(20.0));
}

/// As `docker run -v a.pem:/run/tls/a.pem` does it.
#[test]
fn takes_files_that_are_mounted_one_by_one_when_they_are_written_in_place() {
    let pairs = pairs(2);
    let (host, inside) = (folder(), folder());
    pairs[0].put(host.path());
    pairs[0].put(inside.path());
    let mounts = ["a.pem", "a.key"].map(|name| {
        Mounted::new(&["--bind", host.path().join(name).to_str().unwrap()], inside.path().join(name))
    });
    let [cert, key] = mounts.each_ref().map(|mount| mount.0.to_str().unwrap());
    let flux = Flux::server("https = [\"127.0.0.1:0\"]", &config("[tls]\nwatch_poll = \"1h\"", cert, key));
    let flux = flux.file("site/small", b"small").start();
    let clients = client(&pairs);
    pairs[1].put(host.path());
    until_shown(&flux, &clients, &pairs[1], "written outside");
}

#[test]
fn takes_what_stands_at_the_end_of_a_storm() {
    let pairs = pairs(6);
    let flux = site("", &pairs[0]);
    let (clients, tls) = (client(&pairs), flux.dir.path().join("tls"));
    let crowd = Crowd::of(2, flux.https(), &clients);
    for number in 0..300 {
        let pair = &pairs[number % pairs.len()];
        rename_over(&tls.join("a.pem"), &pair.cert);
        rename_over(&tls.join("a.key"), &pair.key);
    }
    until_shown(&flux, &clients, &pairs[299 % pairs.len()], "after a storm");
    crowd.judge();
}

#[test]
fn finds_by_looking_what_it_is_told_nothing_of_and_is_idle_otherwise() {
    let pairs = pairs(2);
    let config = config("[tls]\nwatch_poll = \"1s\"", "$DIR/deep/er/tls/a.pem", "$DIR/deep/er/tls/a.key");
    let flux = Flux::server("https = [\"127.0.0.1:0\"]", &config);
    let flux = flux.file("site/small", b"small").file("deep/er/tls/.keep", b"");
    let (deep, tls) = (flux.dir.path().join("deep"), flux.dir.path().join("deep/er/tls"));
    pairs[0].put(&tls);
    let flux = flux.start();
    let clients = client(&pairs);
    let used = || metric(&flux, "process_cpu_seconds_total").unwrap();
    let before = used();
    let until = Instant::now() + Duration::from_secs(5);
    while Instant::now() < until {
        // What others do in the folder is none of its business.
        write(&tls.join("some.log"), b"line");
        std::thread::sleep(Duration::from_millis(2));
    }
    let busy = used() - before;
    assert!(busy < 0.5, "{busy} seconds of processor time within five");
    assert_eq!(metric(&flux, TAKEN), None);
    // Nobody who watches what is in a folder hears that one further up was renamed.
    fs::rename(&deep, flux.dir.path().join("old")).unwrap();
    fs::create_dir_all(&tls).unwrap();
    pairs[1].put(&tls);
    until_shown(&flux, &clients, &pairs[1], "seen by looking");
    assert_eq!(metric(&flux, TAKEN), Some(1.0));
}

/// As on a host whose other containers have used up what the kernel gives to one user.
#[test]
fn finds_by_looking_alone_where_there_is_no_inotify_and_says_so() {
    let pairs = pairs(2);
    let config = config("[tls]\nwatch_poll = \"1s\"", "$DIR/a.pem", "$DIR/a.key");
    let flux = Flux::server("https = [\"127.0.0.1:0\"]", &config).file("site/small", b"small");
    pairs[0].put(flux.dir.path());
    let path = flux.write();
    let none = "echo 0 > /proc/sys/user/max_inotify_instances && exec \"$0\" \"$@\"";
    assert!(run("unshare", "util-linux", &["-Ur", "true"]).status.success(), "user namespaces are off");
    let mut command = Command::new("unshare");
    command.args(["-Ur", "sh", "-c", none, env!("CARGO_BIN_EXE_fluxheim")]);
    let flux = flux.start_as(&path, command);
    let said = flux.wait_for_start_of("no inotify");
    assert!(said["message"].as_str().unwrap().contains("max_user_instances"), "{said}");
    let clients = client(&pairs);
    for (at, how) in [(1, "renamed over"), (0, "and again")] {
        rename_over(&flux.dir.path().join("a.key"), &pairs[at].key);
        rename_over(&flux.dir.path().join("a.pem"), &pairs[at].cert);
        until_shown(&flux, &clients, &pairs[at], how);
    }
}

#[test]
fn watches_nothing_when_it_is_told_so_and_a_reload_still_takes_it() {
    let pairs = pairs(2);
    let flux = site("[tls]\nwatch = false\nwatch_poll = \"1s\"", &pairs[0]);
    let clients = client(&pairs);
    pairs[1].put(&flux.dir.path().join("tls"));
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(shown(flux.https(), &clients).unwrap(), pairs[0].der);
    flux.signal(Signal::SIGHUP);
    until_shown(&flux, &clients, &pairs[1], "by a reload");
}

#[test]
fn replaces_one_of_many_and_leaves_the_others() {
    let (mine, other) = (pairs(2), pairs(1));
    let both = config("", "$DIR/a.pem", "$DIR/a.key")
        + "[[tls.certificates]]\nname = \"b\"\ncert = \"$DIR/b/a.pem\"\nkey = \"$DIR/b/a.key\"\n\
           [[vhosts]]\nhosts = [\"b.test\"]\ncertificate = \"b\"\nroutes = [{ path = \"/\", static = \"$DIR/site\" }]\n";
    let flux =
        Flux::server("https = [\"127.0.0.1:0\"]", &both).file("site/small", b"small").file("b/.keep", b"");
    mine[0].put(flux.dir.path());
    other[0].put(&flux.dir.path().join("b"));
    let flux = flux.start();
    // Half a pair at the one does not hold up the other.
    write(&flux.dir.path().join("b/a.key"), &mine[0].key);
    let clients = client(&mine);
    mine[1].put(flux.dir.path());
    until_shown(&flux, &clients, &mine[1], "one of two");
    let names: BTreeSet<_> = ["a", "b"]
        .iter()
        .filter(|name| {
            metric(&flux, &format!("fluxheim_certificate_not_after_seconds{{certificate=\"{name}\""))
                .is_some()
        })
        .collect();
    assert_eq!(names.len(), 2);
}

fn openssl_run(args: &[&str]) {
    let output = run("openssl", "openssl", args);
    assert!(output.status.success(), "openssl {args:?}: {}", String::from_utf8_lossy(&output.stderr));
}
