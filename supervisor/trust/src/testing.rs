//! Real files for tests: owners, modes, links, ACLs.
//!
//! Owns a scratch folder per test, removed at its end. Needs root, since files are given to others.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, chown, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};

use nix::sys::signal::{Signal, kill};
use nix::sys::stat::{Mode, SFlag, mknod};
use nix::unistd::{Pid, geteuid, mkdtemp};

#[path = "../../../tests/kubelet.rs"]
mod kubelet;

pub(crate) use kubelet::{Mounted, SecretVolume};

use crate::finding::Finding;
use crate::{How, Identity, Inventory, Item, Object, ObjectReport, Role, StorageReport, Terms};

/// The service user of tests.
pub(crate) const US: u32 = 65532;
/// A user who is neither root nor the service user.
pub(crate) const STRANGER: u32 = 1234;

pub(crate) fn us() -> Identity {
    Identity { uid: US, gid: US, groups: Vec::new() }
}

pub(crate) fn root() -> Identity {
    Identity { uid: 0, gid: 0, groups: Vec::new() }
}

/// A folder of our own below /tmp: root-owned, 0755, crossed through a sticky parent.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new() -> Self {
        assert!(
            geteuid().is_root(),
            "this test gives files to other users: run it as root, e.g. in a container"
        );
        let path = mkdtemp("/tmp/fluxheim-trust-XXXXXX").unwrap();
        let scratch = Self(path);
        scratch.mode(".", 0o755);
        scratch
    }

    pub(crate) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.join(name)
    }

    /// A file with that content, owner and mode.
    pub(crate) fn file(&self, name: &str, content: &[u8], uid: u32, mode: u32) -> PathBuf {
        let path = self.path(name);
        File::create(&path).unwrap().write_all(content).unwrap();
        self.own(name, uid);
        self.mode(name, mode);
        path
    }

    /// A key as it should be.
    pub(crate) fn key(&self, name: &str) -> PathBuf {
        self.file(name, b"KEY", US, 0o600)
    }

    pub(crate) fn folder(&self, name: &str, uid: u32, mode: u32) -> PathBuf {
        fs::DirBuilder::new().recursive(true).mode(0o755).create(self.path(name)).unwrap();
        self.own(name, uid);
        self.mode(name, mode);
        self.path(name)
    }

    pub(crate) fn link(&self, name: &str, target: impl AsRef<Path>) -> PathBuf {
        symlink(target, self.path(name)).unwrap();
        self.path(name)
    }

    pub(crate) fn node(&self, name: &str, kind: SFlag, device: u64) -> PathBuf {
        mknod(&self.path(name), kind, Mode::S_IRUSR, device).unwrap();
        self.own(name, US);
        self.path(name)
    }

    pub(crate) fn grow(&self, name: &str, size: u64) {
        OpenOptions::new().write(true).open(self.path(name)).unwrap().set_len(size).unwrap();
    }

    pub(crate) fn own(&self, name: &str, uid: u32) {
        chown(self.path(name), Some(uid), Some(uid)).unwrap();
    }

    pub(crate) fn group(&self, name: &str, uid: u32, gid: u32) {
        chown(self.path(name), Some(uid), Some(gid)).unwrap();
    }

    pub(crate) fn mode(&self, name: &str, mode: u32) {
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(mode)).unwrap();
    }

    pub(crate) fn setfacl(&self, entry: &str, name: &str) {
        self.setfacl_with(&["-m", entry], name);
    }

    pub(crate) fn setfacl_with(&self, arguments: &[&str], name: &str) {
        let status = Command::new("setfacl").args(arguments).arg(self.path(name)).status();
        assert!(
            status.expect("setfacl is missing: apt-get install acl").success(),
            "setfacl failed: /tmp must be on a filesystem with POSIX ACLs"
        );
    }

    /// A filesystem of its own at the folder `name`, which ends with this value.
    pub(crate) fn tmpfs(&self, name: &str, options: &str) -> Mounted {
        fs::create_dir_all(self.path(name)).unwrap();
        Mounted::new(&["-t", "tmpfs", "-o", options, "tmpfs"], self.path(name))
    }

    /// `from` mounted at `name` as well.
    pub(crate) fn bind(&self, from: &str, name: &str) -> Mounted {
        Mounted::new(&["--bind", self.path(from).to_str().unwrap()], self.path(name))
    }

    /// `from` at `name` once more, through a program: a filesystem whose modes are advisory.
    pub(crate) fn fuse(&self, from: &str, name: &str) -> Fuse {
        fs::create_dir_all(self.path(name)).unwrap();
        let child = Command::new("bindfs").arg("-f").arg(self.path(from)).arg(self.path(name)).spawn();
        let child = child.expect("bindfs is missing: apt-get install bindfs");
        let fuse = Fuse { child, mounted: Mounted(self.path(name)) };
        let is_mounted = || {
            fs::read_to_string("/proc/self/mountinfo").unwrap().contains(self.path(name).to_str().unwrap())
        };
        let end = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while !is_mounted() {
            assert!(std::time::Instant::now() < end, "bindfs did not mount: is there /dev/fuse?");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        fuse
    }

    /// A Secret volume at the folder `volume`.
    pub(crate) fn secret_volume(&self, mode: u32, gid: u32, files: &[(&str, &[u8])]) -> SecretVolume {
        SecretVolume::new(&self.0, mode, gid, files)
    }

    /// Runs the test `name` of this binary again as the service user, with `path` as its task.
    pub(crate) fn as_us(&self, name: &str, path: &Path) -> Output {
        self.command(&[], name, path).output().unwrap()
    }

    /// The same with RLIMIT_MEMLOCK at `limit` bytes.
    pub(crate) fn as_us_locking(&self, limit: u32, name: &str, path: &Path) -> Output {
        let limit = format!("--memlock={limit}:{limit}");
        let output = self.command(&["prlimit", &limit], name, path).output();
        output.expect("prlimit is missing: apt-get install util-linux")
    }

    /// The command behind them, started through `wrapper`.
    pub(crate) fn command(&self, wrapper: &[&str], name: &str, path: &Path) -> Command {
        let binary = self.path("tests");
        // By another process: a test that starts a program just now would inherit the descriptor
        // that writes, and a file that is open for writing can't be executed (ETXTBSY).
        let copied = Command::new("cp").arg(std::env::current_exe().unwrap()).arg(&binary).status();
        assert!(copied.expect("cp is missing: apt-get install coreutils").success());
        self.mode("tests", 0o755);
        let mut line = wrapper.iter().map(Into::into).chain([binary]).collect::<Vec<PathBuf>>().into_iter();
        let mut command = Command::new(line.next().unwrap());
        command.args(line).args(["--exact", name, "--nocapture"]).env(TASK, path).current_dir("/");
        command.gid(US).uid(US);
        command
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A mount that a program answers for.
pub(crate) struct Fuse {
    child: Child,
    mounted: Mounted,
}

impl Fuse {
    /// It answers no more.
    pub(crate) fn stop(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// It answers again, what was asked meanwhile too.
    pub(crate) fn go_on(&self) {
        self.signal(Signal::SIGCONT);
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
    }
}

impl Drop for Fuse {
    fn drop(&mut self) {
        // Whoever still waits for an answer gets an error.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = &self.mounted;
    }
}

/// What `Scratch::as_us` asks of this process, if it runs for it.
pub(crate) fn task() -> Option<PathBuf> {
    std::env::var_os(TASK).map(PathBuf::from)
}

const TASK: &str = "FLUXHEIM_TRUST_TEST_TASK";

pub(crate) fn object(role: Role, path: impl Into<PathBuf>) -> Object {
    Object { role, name: "tls.certificates \"example\"".to_owned(), path: path.into() }
}

/// Judges one file for the service user.
pub(crate) fn findings(role: Role, path: impl Into<PathBuf>) -> Vec<Finding> {
    findings_for(&us(), role, path)
}

pub(crate) fn findings_for(identity: &Identity, role: Role, path: impl Into<PathBuf>) -> Vec<Finding> {
    report_for(identity, role, path).findings
}

pub(crate) fn report_for(identity: &Identity, role: Role, path: impl Into<PathBuf>) -> ObjectReport {
    check(&[object(role, path)], identity).objects.remove(0)
}

/// Judges access to `objects` for `identity`.
pub(crate) fn check(objects: &[Object], identity: &Identity) -> StorageReport {
    let items = objects.iter().cloned().map(Item::One).collect();
    let inventory = Inventory { items, by_name: Vec::new() };
    crate::check(&inventory, &Terms::strict(identity.clone()), How::ACCESS)
}

/// The terms of the service user.
pub(crate) fn our_terms() -> Terms {
    Terms::strict(us())
}

/// The codes of findings, in their order.
pub(crate) fn codes(findings: &[Finding]) -> Vec<&'static str> {
    findings.iter().map(|finding| finding.code.id()).collect()
}
