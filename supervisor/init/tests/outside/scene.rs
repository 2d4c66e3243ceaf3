//! One run of fluxheim-init: its folder, its configuration, its processes.

use std::io::{PipeReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};

pub(crate) const INIT: &str = env!("CARGO_BIN_EXE_fluxheim-init");

pub(crate) struct Scene {
    pub(crate) folder: PathBuf,
}

impl Scene {
    /// A folder with a configuration that has no secrets, and `more` appended to it. The stand-in is a
    /// shell script with children that write files, so it is neither confined nor another user; what
    /// that does to a proxy is seen in [`Scene::hardened`] and with the image.
    pub(crate) fn new(more: &str) -> Self {
        let (head, relaxed) =
            ("[hardening]\n", "seccomp = \"off\"\nlandlock = \"off\"\nidentity = \"off\"\n");
        Self::hardened(&if more.contains(head) {
            more.replace(head, &format!("{head}{relaxed}"))
        } else {
            format!("{more}{head}{relaxed}")
        })
    }

    /// The same with the profile's own levels, for calls that start no stand-in.
    pub(crate) fn hardened(more: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        assert!(geteuid().is_root(), "run these tests as root: sudo -E cargo nextest run -p fluxheim-init");
        let name = format!("init-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::SeqCst));
        // In /tmp: wherever the repository is, only root can write what is above this.
        let folder = std::env::temp_dir().join(format!("fluxheim-{name}"));
        // Left by a failed run whose process id came back.
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir(&folder).unwrap();
        let scene = Self { folder };
        // The stand-in binds nothing; the address only has to be one.
        scene.write("fluxheim.toml", &format!("[server]\nhttp = [\"127.0.0.1:8080\"]\n{more}"), 0o644);
        // A mark first: whether the proxy was executed at all must be visible.
        let script = format!(
            "#!/bin/sh\n: > '{}'\nexec env --block-signal '{}' act::proxy --exact --ignored --nocapture --test-threads=1\n",
            scene.path("executed").display(),
            std::env::current_exe().unwrap().display()
        );
        scene.write("proxy", &script, 0o755);
        scene
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.path(name).exists()
    }

    pub(crate) fn write(&self, name: &str, text: &str, mode: u32) {
        std::fs::write(self.path(name), text).unwrap();
        std::fs::set_permissions(self.path(name), std::fs::Permissions::from_mode(mode)).unwrap();
    }

    /// `program` with this scene's configuration and act.
    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>, act: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env("FLUXHEIM_TEST_ACT", act)
            .env("FLUXHEIM_TEST_FOLDER", &self.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        command
    }

    /// fluxheim-init with the stand-in as its proxy.
    pub(crate) fn start(&self, act: &str) -> Running {
        let mut command = self.command(INIT, act);
        command.args(self.arguments());
        Running::of(command)
    }

    /// The same with a stderr that is full and that nobody reads.
    pub(crate) fn start_unread(&self, act: &str) -> Running {
        let (reader, mut writer) = std::io::pipe().unwrap();
        // A pipe holds 64 KiB by default (pipe(7)).
        writer.write_all(&[b'.'; 64 * 1024]).unwrap();
        let mut command = self.command(INIT, act);
        command.args(self.arguments()).stderr(writer);
        let mut running = Running::of(command);
        running.unread = Some(reader);
        running
    }

    pub(crate) fn arguments(&self) -> [std::ffi::OsString; 4] {
        ["--config".into(), self.path("fluxheim.toml").into(), "--proxy".into(), self.path("proxy").into()]
    }

    /// One call of fluxheim-init that ends by itself.
    pub(crate) fn call(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(INIT);
        command.args(arguments).arg("--config").arg(self.path("fluxheim.toml")).output().unwrap()
    }

    /// Waits for a mark of the stand-in.
    pub(crate) fn wait_for(&self, name: &str) {
        until(&format!("the mark {name}"), || self.has(name));
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

pub(crate) struct Running {
    child: Child,
    /// Kept open, so that the pipe stays full rather than closed.
    unread: Option<PipeReader>,
}

impl Running {
    pub(crate) fn of(mut command: Command) -> Self {
        let program = command.get_program().to_owned();
        let child = command.spawn();
        let child =
            child.unwrap_or_else(|error| panic!("{program:?}: {error}; apt-get install strace util-linux"));
        Self { child, unread: None }
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).unwrap())
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).unwrap();
    }

    /// The direct children, by pid.
    pub(crate) fn children(&self) -> Vec<Pid> {
        children(self.pid())
    }

    /// Nobody reads what it says any more.
    pub(crate) fn close_stderr(&mut self) {
        self.child.stderr.take();
    }

    /// The exit code and everything on stderr; kills what doesn't end.
    pub(crate) fn end(mut self) -> (i32, String) {
        let status = self.wait();
        let mut text = String::new();
        if let Some(mut stderr) = self.child.stderr.take() {
            stderr.read_to_string(&mut text).unwrap();
        }
        let code = status.code().unwrap_or_else(|| panic!("ended by signal {:?}: {text}", status.signal()));
        (code, text)
    }

    fn wait(&mut self) -> ExitStatus {
        let end = Instant::now() + LIMIT;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            if Instant::now() > end {
                let _ = self.child.kill();
                panic!("it doesn't end: {:?}", self.child.wait());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// The program's name, as ps(1) shows it.
pub(crate) fn name_of(pid: Pid) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim_end().to_owned()
}

pub(crate) fn children(pid: Pid) -> Vec<Pid> {
    let list = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    list.split_whitespace().map(|word| Pid::from_raw(word.parse().unwrap())).collect()
}

pub(crate) fn until(what: &str, mut true_now: impl FnMut() -> bool) {
    let end = Instant::now() + LIMIT;
    while !true_now() {
        assert!(Instant::now() < end, "waited too long for {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Generous: these run beside a compiler on two cores.
const LIMIT: Duration = Duration::from_secs(30);

/// A configuration that gives 1.75 s for stopping.
pub(crate) const QUICK_STOP: &str = "drain_timeout = \"1s\"\nstop_timeout = \"2s\"\n";

/// One that gives half a minute.
pub(crate) const LONG_STOP: &str = "stop_timeout = \"30s\"\n";
