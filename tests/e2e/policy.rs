//! The list of system calls, image/seccomp.json, beside what the proxy really calls.
//!
//! Every rule that isn't marked as rare must be in use, and nothing may be missing: what isn't listed
//! answers ENOSYS, and a library that falls back on something else hides that.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::{MetadataExt, chown, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::Signal;
use serde::Deserialize;
use serde_json::Value;

use crate::support::{
    ADMIN, Call, Flux, Running, Scripted, Trace, certificate, curl, exchange, request, run, set_mode, strace,
    tls,
};

#[derive(Deserialize)]
struct Policy {
    serve: Vec<Rule>,
    launch: Vec<Rule>,
}

#[derive(Debug, Clone, Deserialize)]
struct Rule {
    syscall: String,
    comment: String,
    #[serde(default)]
    args: Vec<Condition>,
    arch: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
struct Condition {
    index: usize,
    r#type: String,
    op: Value,
    val: u64,
}

impl Rule {
    fn allows(&self, call: &Call) -> bool {
        self.syscall == call.name && self.args.iter().all(|condition| condition.holds(call))
    }

    fn is_rare(&self) -> bool {
        self.comment.starts_with("rare:")
    }
}

impl Condition {
    fn holds(&self, call: &Call) -> bool {
        let argument = call.args[self.index];
        let argument = if self.r#type == "dword" { argument & 0xffff_ffff } else { argument };
        match (self.op.as_str(), self.op["masked_eq"].as_u64()) {
            (Some("eq"), _) => argument == self.val,
            (None, Some(mask)) => argument & mask == self.val & mask,
            _ => panic!("a condition that this test doesn't know: {self:?}"),
        }
    }
}

/// The rules of each stage for this machine; those of the second stage hold in the first one too,
/// unless a rule for the same call stands there.
fn policy() -> (Vec<Rule>, Vec<Rule>, Vec<Rule>) {
    let text = std::fs::read(policy_path()).unwrap();
    let Policy { mut serve, mut launch } = serde_json::from_slice(&text).unwrap();
    let here = |rule: &Rule| rule.arch.as_deref().is_none_or(|arch| arch == std::env::consts::ARCH);
    serve.retain(here);
    launch.retain(here);
    let inherited = serve.iter().filter(|rule| !launch.iter().any(|other| other.syscall == rule.syscall));
    let before = inherited.chain(&launch).cloned().collect();
    (serve, launch, before)
}

fn policy_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("image/seccomp.json")
}

/// Rules that nothing used, but for those that say so of themselves.
fn dead(rules: &[Rule], calls: &[Call]) -> Vec<String> {
    let unused = rules.iter().filter(|rule| !rule.is_rare() && !calls.iter().any(|call| rule.allows(call)));
    unused.map(|rule| format!("{}: {}", rule.syscall, rule.comment)).collect()
}

/// Calls that no rule allows, one of each name, but for those whose refusal is what is wanted.
fn missing(rules: &[Rule], calls: &[Call]) -> Vec<String> {
    let refused = calls.iter().filter(|call| !rules.iter().any(|rule| rule.allows(call)));
    let unwanted = refused.filter(|call| !is_trial(call) && call.name != "clone3");
    let last: BTreeMap<_, _> = unwanted.map(|call| (&call.name, &call.args)).collect();
    last.iter().map(|(name, args)| format!("{name}{args:x?}")).collect()
}

/// Whether a program can be started is tried, in vain, with nothing to start. clone3 takes its flags
/// from memory, where no filter sees them; the C library goes on to clone.
fn is_trial(call: &Call) -> bool {
    let nothing = |at: usize| call.args[at..].iter().all(|argument| *argument == 0);
    match call.name.as_str() {
        "execve" => nothing(0),
        "execveat" => call.args[0] & 0xffff_ffff == 0xffff_ffff && nothing(1),
        _ => false,
    }
}

/// What serves in all these runs; `$DIR` is the folder of the run.
struct Stage {
    flux: Flux,
    app: Scripted,
    socket: Scripted,
}

impl Stage {
    fn set(hardening: &str) -> Self {
        let app = Scripted::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        let socket = Scripted::answering(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\nhello",
        );
        let (port, at) = (app.address.port(), app.address);
        let upstreams = [
            // Nothing listens on the first: the second is gone on to.
            ("address", format!("\"[::1]:{}\", \"{at}\"", unused_port())),
            ("name", format!("\"localhost:{port}\"")),
            ("nowhere", "\"no-such-host.invalid:80\"".to_owned()),
            ("socket", format!("\"{}\"", socket.address)),
        ];
        let mut rest = format!("{hardening}\n{ADMIN}");
        for (name, servers) in &upstreams {
            rest.push_str(&format!("[[upstreams]]\nname = \"{name}\"\nservers = [{servers}]\n"));
        }
        rest.push_str("[[vhosts]]\nhosts = [\"*\"]\n");
        for (name, _) in &upstreams {
            rest.push_str(&format!("[[vhosts.routes]]\npath = \"/{name}/\"\nupstream = \"{name}\"\n"));
        }
        rest.push_str("[[vhosts.routes]]\npath = \"/\"\nstatic = \"$DIR/site\"\n");
        rest.push_str("[[tls.certificates]]\nname = \"a\"\ncert = \"$DIR/a.pem\"\nkey = \"$DIR/a.key\"\n");
        let flux = Flux::server("http = [\"127.0.0.1:0\"]\nhttps = [\"127.0.0.1:0\"]", &rest)
            .file("site/index.html", b"home")
            .file("site/folder/index.html", b"folder")
            .file("site/big", &vec![b'x'; 4 << 20]);
        certificate(flux.dir.path(), "a", &["a.test"]);
        admin_folder(&flux);
        Self { flux, app, socket }
    }

    /// Starts `programs` under strace with the configuration at `config`, uses all there is to use,
    /// and ends with a request in flight.
    fn play(self, config: &Path, command: Command) -> Trace {
        let Self { flux, app, socket } = self;
        let prefix = flux.dir.path().join("trace/of");
        let mut running = flux.start_as(config, command);
        use_files(&running);
        use_upstreams(&running, &app, &socket);
        use_tls(&running);
        watch(&running);
        rotate(&running);
        reload(&running, &config.canonicalize().unwrap());
        stop(&mut running);
        Trace::read(&prefix, running.pid())
    }
}

/// With what a killed process left there.
fn admin_folder(flux: &Flux) {
    let folder = flux.dir.path().join("run");
    std::fs::create_dir(&folder).unwrap();
    set_mode(&folder, 0o700);
    drop(UnixListener::bind(folder.join("admin.sock")).unwrap());
}

fn unused_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn use_files(flux: &Running) {
    let ask = |path: &str, more: &str| {
        let head = format!("GET {path} HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n{more}\r\n");
        exchange(flux.http(), &head)
    };
    let home = ask("/", "");
    assert_eq!((home.status, home.body.as_slice()), (200, &b"home"[..]));
    let etag = home.head.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap().to_owned();
    assert_eq!(ask("/", &format!("If-None-Match: {etag}\r\n")).status, 304);
    assert_eq!(ask("/big", "Range: bytes=1000000-1000004\r\n").body, b"xxxxx");
    assert_eq!((ask("/folder", "").status, ask("/folder/", "").status), (301, 200));
    assert_eq!((ask("/nothing", "").status, ask("/big", "").status), (404, 200));
    assert_eq!(flux.access_line("/nothing")["status"], 404);
}

fn use_upstreams(flux: &Running, app: &Scripted, socket: &Scripted) {
    let mut kept = TcpStream::connect(flux.http()).unwrap();
    for path in ["/address/", "/name/", "/address/again"] {
        kept.write_all(format!("GET {path} HTTP/1.1\r\nHost: a.test\r\n\r\n").as_bytes()).unwrap();
        assert!(read_until(&mut kept, "\r\n\r\nok").starts_with("HTTP/1.1 200"));
    }
    let body = "b".repeat(100_000);
    let head =
        format!("POST /address/ HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {}", body.len());
    assert_eq!(exchange(flux.http(), &format!("{head}\r\n\r\n{body}")).status, 200);
    assert!(app.requests() >= 4);
    assert_eq!(request(flux.http(), "a.test", "/nowhere/").status, 502);
    let mut tunnel = TcpStream::connect(flux.http()).unwrap();
    let head = "GET /socket/ HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    tunnel.write_all(head.as_bytes()).unwrap();
    assert!(read_until(&mut tunnel, "hello").starts_with("HTTP/1.1 101"));
    tunnel.write_all(&[b'w'; 3000]).unwrap();
    // That the bytes arrive is asserted in forwarding.rs; here it matters what is called for them.
    let _ = socket.piped(3000);
}

fn read_until(stream: &mut TcpStream, end: &str) -> String {
    stream.set_read_timeout(Some(std::time::Duration::from_secs(20))).unwrap();
    let (mut got, mut buffer) = (String::new(), [0; 4096]);
    while !got.ends_with(end) {
        let read = stream.read(&mut buffer).unwrap();
        assert!(read > 0, "closed after {got:?}");
        got.push_str(&String::from_utf8_lossy(&buffer[..read]));
    }
    got
}

fn use_tls(flux: &Running) {
    let port = flux.https().port();
    let (resolve, ca) = (format!("a.test:{port}:127.0.0.1"), flux.dir.path().join("a.pem"));
    for (options, version) in [
        (&["--http2", "--tlsv1.3"][..], "2"),
        (&["--http1.1", "--tlsv1.2", "--tls-max", "1.2"], "1.1"),
        (&["--http2", "--data-binary", "sent"], "2"),
    ] {
        let url = format!("https://a.test:{port}/address/");
        let trust = ["--cacert", ca.to_str().unwrap(), "--resolve", &resolve, "-w", " %{http_version}", &url];
        let got = curl(&[options, &trust].concat());
        assert_eq!(String::from_utf8(got).unwrap(), format!("ok {version}"));
    }
}

fn watch(flux: &Running) {
    assert_eq!(flux.admin("GET", "/v1/status", "").0, 200);
    for path in ["/metrics", "/livez", "/readyz"] {
        assert_eq!(request(flux.metrics(), "x", path).status, 200, "{path}");
    }
}

/// Another pair in place of the first, renamed over it, by the same owner and for nobody else.
fn rotate(flux: &Running) {
    let (folder, new) = (flux.dir.path(), flux.dir.path().join("new"));
    std::fs::create_dir(&new).unwrap();
    certificate(&new, "a", &["a.test"]);
    let owner = std::fs::metadata(folder.join("a.key")).unwrap();
    chown(new.join("a.key"), Some(owner.uid()), Some(owner.gid())).unwrap();
    for name in ["a.key", "a.pem"] {
        std::fs::rename(new.join(name), folder.join(name)).unwrap();
    }
    flux.wait_for("certificate replaced");
}

fn reload(flux: &Running, config: &Path) {
    let file = if config.is_dir() { config.join("site.toml") } else { config.to_owned() };
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("{text}\n[limitz]\n")).unwrap();
    flux.signal(Signal::SIGHUP);
    flux.wait_for("reload refused: the running configuration stays");
    std::fs::write(&file, text).unwrap();
    flux.signal(Signal::SIGHUP);
    flux.wait_for("configuration reloaded");
}

fn stop(flux: &mut Running) {
    let mut over_tls = tls(flux, "a.test", &[b"http/1.1"]);
    let mut plain = TcpStream::connect(flux.http()).unwrap();
    let head = b"GET /big HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n";
    over_tls.write_all(head).unwrap();
    plain.write_all(head).unwrap();
    // Both in flight: an answer has begun, and nobody has read the rest.
    let (mut first, mut rest) = ([0; 1], Vec::new());
    over_tls.read_exact(&mut first).unwrap();
    plain.read_exact(&mut first).unwrap();
    flux.signal(Signal::SIGTERM);
    flux.wait_for("draining");
    plain.read_to_end(&mut rest).unwrap();
    assert!(rest.len() > 4 << 20, "{} bytes", rest.len());
    over_tls.read_to_end(&mut rest).unwrap();
    assert!(rest.len() > 8 << 20, "{} bytes", rest.len());
    assert_eq!(flux.wait().code(), Some(0));
}

/// fluxheim or fluxheim-init: the static one of the image if it was built after the list was last
/// changed, else the development build.
fn program(name: &str) -> PathBuf {
    let folder = format!("target/{}-unknown-linux-gnu/release", std::env::consts::ARCH);
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).join(name);
    let changed = |path: &Path| std::fs::metadata(path).and_then(|facts| facts.modified());
    let is_new = changed(&shipped).is_ok_and(|built| built > changed(&policy_path()).unwrap());
    let own = Path::new(env!("CARGO_BIN_EXE_fluxheim")).with_file_name(name);
    let chosen = if is_new { shipped } else { own };
    assert!(chosen.exists(), "{}: not built; run cargo build --workspace", chosen.display());
    println!("{}", chosen.display());
    chosen
}

/// fluxheim-init with a proxy that the service user gets at. The key is that user's, the rest root's.
fn by_init(flux: &Flux, options: &[&str]) -> Command {
    const SERVICE: Option<u32> = Some(65532);
    let folder = flux.dir.path();
    let proxy = folder.join("fluxheim");
    let copied = run("cp", "coreutils", &[program("fluxheim").to_str().unwrap(), proxy.to_str().unwrap()]);
    assert!(copied.status.success());
    set_mode(folder, 0o755);
    for name in ["run", "run/admin.sock"] {
        chown(folder.join(name), SERVICE, SERVICE).unwrap_or_else(|error| panic!("run it as root: {error}"));
    }
    chown(folder.join("a.key"), SERVICE, SERVICE).unwrap_or_else(|error| panic!("run it as root: {error}"));
    let mut command = strace(&traces(flux), &program("fluxheim-init"));
    command.args(options).arg("--proxy").arg(proxy);
    command
}

fn traces(flux: &Flux) -> PathBuf {
    let folder = flux.dir.path().join("trace");
    std::fs::create_dir(&folder).unwrap();
    folder.join("of")
}

/// Started by hand, its configuration behind a link, as Kubernetes mounts one.
fn by_hand() -> Trace {
    let stage = Stage::set("");
    let (written, folder) = (stage.flux.write(), stage.flux.dir.path().to_owned());
    std::fs::create_dir(folder.join("..data")).unwrap();
    std::fs::rename(&written, folder.join("..data/fluxheim.toml")).unwrap();
    symlink("..data/fluxheim.toml", &written).unwrap();
    let command = strace(&traces(&stage.flux), &program("fluxheim"));
    stage.play(&written, command)
}

/// Under fluxheim-init, its configuration a folder.
fn supervised(options: &[&str]) -> Trace {
    // A machine may have swap, and limits that no lock gets over; neither is what is looked at.
    let waived = "[hardening]\nno_swap = \"observe\"\ndumpable = \"observe\"\n";
    let waived =
        if options.is_empty() { format!("{waived}memory_lock = \"observe\"\n") } else { waived.into() };
    let stage = Stage::set(&waived);
    let config = stage.flux.dir.path().join("config");
    std::fs::create_dir(&config).unwrap();
    std::fs::rename(stage.flux.write(), config.join("site.toml")).unwrap();
    let command = by_init(&stage.flux, options);
    stage.play(&config, command)
}

#[test]
fn the_list_of_system_calls_holds_all_that_is_used_and_nothing_else() {
    let (serve, launch, before) = policy();
    let (by_hand, by_init, become_it) = (by_hand(), supervised(&[]), supervised(&["--exec"]));
    let after = [by_hand.serve, by_init.serve, become_it.serve].concat();
    let first = [by_init.launch, become_it.launch].concat();
    assert_eq!(missing(&serve, &after), [""; 0], "called, and not in `serve`");
    assert_eq!(missing(&before, &first), [""; 0], "called, and not in `launch`");
    assert_eq!(dead(&serve, &after), [""; 0], "in `serve`, and not used: remove it, or say when it is");
    assert_eq!(dead(&launch, &first), [""; 0], "in `launch`, and not used: remove it, or say when it is");
}
