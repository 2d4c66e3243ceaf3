//! The program under test: started with a config, asked for its ports, signalled, waited for.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

use super::folder;

/// A configuration to run; `$DIR` in it stands for a folder of its own.
pub(crate) struct Flux {
    pub(crate) dir: TempDir,
    config: String,
}

impl Flux {
    /// Listens on free loopback ports for HTTP and metrics; `rest` is the remaining configuration.
    pub(crate) fn with(rest: &str) -> Self {
        Self::server("http = [\"127.0.0.1:0\"]", rest)
    }

    /// Like [`Flux::with`], with other keys in `[server]`.
    pub(crate) fn server(server: &str, rest: &str) -> Self {
        let dir = folder();
        let config = format!("[server]\n{server}\n[metrics]\nlisten = [\"127.0.0.1:0\"]\n{rest}\n");
        Self { dir, config }
    }

    /// A file in the folder.
    pub(crate) fn file(self, name: &str, content: &[u8]) -> Self {
        let path = self.dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
        self
    }

    /// With something in the configuration that is only known now.
    pub(crate) fn replacing(self, what: &str, with: &str) -> Self {
        Self { config: self.config.replace(what, with), ..self }
    }

    /// The same with more of a configuration.
    pub(crate) fn also(mut self, more: &str) -> Self {
        self.config.push_str(more);
        self
    }

    /// Where the configuration is, written with `$DIR` filled in.
    pub(crate) fn write(&self) -> PathBuf {
        let path = self.dir.path().join("fluxheim.toml");
        std::fs::write(&path, self.config.replace("$DIR", self.dir.path().to_str().unwrap())).unwrap();
        path
    }

    /// Starts and waits until ready.
    pub(crate) fn start(self) -> Running {
        let path = self.write();
        let running = Running::spawn(self.dir, &path, Command::new(env!("CARGO_BIN_EXE_fluxheim")));
        running.wait_for("ready");
        running
    }

    /// Starts as the service user of the image, who gets the folder, with RLIMIT_MEMLOCK at `limit`
    /// bytes.
    pub(crate) fn start_locking(self, limit: u32) -> Running {
        let (user, path) = (65532, self.write());
        // Wherever the repository is, the folder is where that user gets at the program.
        let program = self.dir.path().join("fluxheim");
        // By another process: a descriptor that writes, inherited by what another test starts just
        // now, would keep the copy from being executed (ETXTBSY).
        let to = program.to_str().unwrap();
        assert!(super::run("cp", "coreutils", &[env!("CARGO_BIN_EXE_fluxheim"), to]).status.success());
        let own = |path: &Path| chown(path, Some(user), Some(user)).unwrap();
        own(self.dir.path());
        std::fs::read_dir(self.dir.path()).unwrap().for_each(|entry| own(&entry.unwrap().path()));
        let mut command = Command::new("prlimit");
        command.arg(format!("--memlock={limit}:{limit}")).arg(&program).uid(user).gid(user);
        let running = Running::spawn(self.dir, &path, command);
        running.wait_for("ready");
        running
    }

    /// Starts `command` with the configuration at `config`, which was written before.
    pub(crate) fn start_as(self, config: &Path, command: Command) -> Running {
        let running = Running::spawn(self.dir, config, command);
        running.wait_for("ready");
        running
    }

    /// Starts with a log that does not say when it is ready.
    pub(crate) fn start_silently(self, config: &Path) -> Running {
        let running = Running::spawn(self.dir, config, Command::new(env!("CARGO_BIN_EXE_fluxheim")));
        wait(|| running.admin_socket().exists().then_some(())).expect("no admin socket");
        running
    }

    /// Runs to its end, for starts that are refused.
    pub(crate) fn run_to_end(&self) -> Output {
        program(&["--config", self.write().to_str().unwrap()])
    }
}

/// Runs the program with `args` to its end.
pub(crate) fn program(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_fluxheim")).args(args).output().unwrap()
}

/// A started program; killed when dropped.
pub(crate) struct Running {
    child: Child,
    pub(crate) dir: Arc<TempDir>,
    pub(crate) config: PathBuf,
    diagnostics: Arc<Mutex<Vec<Value>>>,
    access: Arc<Mutex<Vec<Value>>>,
}

impl Running {
    fn spawn(dir: impl Into<Arc<TempDir>>, config: &Path, mut command: Command) -> Self {
        let mut child = command
            .args(["--config".as_ref(), config.as_os_str()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let diagnostics = collect(child.stderr.take().unwrap());
        let access = collect(child.stdout.take().unwrap());
        Self { child, dir: dir.into(), config: config.to_owned(), diagnostics, access }
    }

    /// Starts anew with the same configuration, whatever became of this one.
    pub(crate) fn start_again(self) -> Self {
        self.start_again_as(Command::new(env!("CARGO_BIN_EXE_fluxheim")))
    }

    /// The same by another command.
    pub(crate) fn start_again_as(self, command: Command) -> Self {
        let (dir, config) = (Arc::clone(&self.dir), self.config.clone());
        drop(self);
        let running = Self::spawn(dir, &config, command);
        running.wait_for("ready");
        running
    }

    /// The address of the only listener of that scheme.
    pub(crate) fn address(&self, scheme: &str) -> SocketAddr {
        let lines = self.diagnostics.lock().unwrap();
        let found = lines.iter().find(|line| line["message"] == "listening" && line["scheme"] == scheme);
        found.unwrap_or_else(|| panic!("no {scheme} listener in {lines:?}"))["address"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap()
    }

    /// Every address of that scheme, in the order of the file.
    pub(crate) fn addresses(&self, scheme: &str) -> Vec<SocketAddr> {
        let lines = self.diagnostics.lock().unwrap();
        let listening =
            lines.iter().filter(|line| line["message"] == "listening" && line["scheme"] == scheme);
        listening.map(|line| line["address"].as_str().unwrap().parse().unwrap()).collect()
    }

    pub(crate) fn http(&self) -> SocketAddr {
        self.address("http")
    }

    pub(crate) fn https(&self) -> SocketAddr {
        self.address("https")
    }

    /// The operator's listener.
    pub(crate) fn metrics(&self) -> SocketAddr {
        self.wait_for("metrics listening")["address"].as_str().unwrap().parse().unwrap()
    }

    /// The first diagnostic with that message, waited for.
    pub(crate) fn wait_for(&self, message: &str) -> Value {
        self.wait_for_one(message, |line| line == message)
    }

    /// The first diagnostic whose message begins so, waited for.
    pub(crate) fn wait_for_start_of(&self, message: &str) -> Value {
        self.wait_for_one(message, |line| line.starts_with(message))
    }

    /// Until that message was said so many times.
    pub(crate) fn wait_for_times(&self, message: &str, times: usize) {
        let count = || {
            let lines = self.diagnostics.lock().unwrap();
            lines.iter().filter(|line| line["message"] == message).count()
        };
        wait(|| (count() >= times).then_some(())).unwrap_or_else(|| {
            panic!("{message:?} {} times in {:#?}", count(), self.diagnostics.lock().unwrap())
        });
    }

    fn wait_for_one(&self, message: &str, fits: impl Fn(&str) -> bool) -> Value {
        let seen = || {
            let lines = self.diagnostics.lock().unwrap();
            lines.iter().find(|line| line["message"].as_str().is_some_and(&fits)).cloned()
        };
        // Once the pipe is closed, nothing more will come.
        let found =
            wait(|| seen().map(Some).or_else(|| (Arc::strong_count(&self.diagnostics) == 1).then(seen)));
        found.flatten().unwrap_or_else(|| panic!("no {message:?} in {:#?}", self.diagnostics.lock().unwrap()))
    }

    /// The first access line whose target is `target`, waited for.
    pub(crate) fn access_line(&self, target: &str) -> Value {
        wait(|| self.access.lock().unwrap().iter().find(|line| line["target"] == target).cloned())
            .unwrap_or_else(|| panic!("no {target:?} in {:#?}", self.access.lock().unwrap()))
    }

    /// The first access line that holds `part`, of lines that are no JSON, waited for.
    pub(crate) fn text_line(&self, part: &str) -> String {
        let seen = || {
            let lines = self.access.lock().unwrap();
            lines.iter().filter_map(Value::as_str).find(|line| line.contains(part)).map(str::to_owned)
        };
        wait(seen).unwrap_or_else(|| panic!("no {part:?} in {:#?}", self.access.lock().unwrap()))
    }

    /// Everything that both logs have said so far.
    pub(crate) fn said(&self) -> String {
        let all = |lines: &Mutex<Vec<Value>>| {
            lines.lock().unwrap().iter().map(|line| format!("{line}\n")).collect::<String>()
        };
        all(&self.diagnostics) + &all(&self.access)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).unwrap();
    }

    /// Waits for the end, 20 seconds at most.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        wait(|| self.child.try_wait().unwrap()).expect("the program did not end")
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Polls until there is something, 20 seconds at most.
pub(crate) fn wait<T>(mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + Duration::from_secs(20);
    while Instant::now() < deadline {
        if let Some(found) = look() {
            return Some(found);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    None
}

/// Parses each line as JSON as it comes; a line that is none is kept as a string.
pub(super) fn collect(pipe: impl Read + Send + 'static) -> Arc<Mutex<Vec<Value>>> {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&lines);
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            let value = serde_json::from_str(&line).unwrap_or(Value::String(line));
            sink.lock().unwrap().push(value);
        }
    });
    lines
}
