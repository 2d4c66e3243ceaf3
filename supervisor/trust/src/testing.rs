//! Real files for tests: owners, modes, links, ACLs.
//!
//! Owns a scratch folder per test, removed at its end. Needs root, since files are given to others.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, chown, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use nix::sys::stat::{Mode, SFlag, mknod};
use nix::unistd::{geteuid, mkdtemp};

use crate::finding::Finding;
use crate::{Identity, Object, Role};

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

    pub(crate) fn mode(&self, name: &str, mode: u32) {
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(mode)).unwrap();
    }

    pub(crate) fn setfacl(&self, entry: &str, name: &str) {
        let status = Command::new("setfacl").args(["-m", entry]).arg(self.path(name)).status();
        assert!(
            status.expect("setfacl is missing: apt-get install acl").success(),
            "setfacl failed: /tmp must be on a filesystem with POSIX ACLs"
        );
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
    crate::check(&[object(role, path)], identity).objects.remove(0).findings
}

/// The codes of findings, in their order.
pub(crate) fn codes(findings: &[Finding]) -> Vec<&'static str> {
    findings.iter().map(|finding| finding.code.id()).collect()
}
