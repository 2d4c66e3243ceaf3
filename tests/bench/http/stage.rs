//! What all contestants share: the origin, the certificate, the files, the CPUs.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tempfile::TempDir;

use crate::arguments::Arguments;
use crate::bulk;
use crate::configs;
use crate::contestant::Contestant;
use crate::fixtures::{certificate, run, set_mode};
use crate::processes::{Process, first_answer, free_address};

/// What is asked of a contestant.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setup {
    /// An access log.
    pub(crate) logging: bool,
    /// Virtual hosts beside `a.test`; without any, whatever host is answered.
    pub(crate) vhosts: usize,
}

pub(crate) struct Stage {
    dir: TempDir,
    pub(crate) program: PathBuf,
    pub(crate) seconds: u32,
    pub(crate) origin: SocketAddr,
    /// Descriptors that one process may have.
    pub(crate) descriptors: usize,
    /// The CPU of the proxy under measure, where there is more than one.
    cpu: Option<usize>,
    remarks: RefCell<Vec<String>>,
    _origin: Process,
}

impl Stage {
    pub(crate) fn set(arguments: &Arguments) -> Self {
        let (dir, origin) = (TempDir::new().unwrap(), free_address());
        set_mode(dir.path(), 0o755);
        certificate(dir.path(), "a", &["a.test"]);
        let both = [read(dir.path(), "a.pem"), read(dir.path(), "a.key")].concat();
        let bulk = vec![b'x'; bulk::SIZE];
        let files: [(&str, &[u8]); 5] = [
            ("index.html", &[b'x'; 32]),
            ("large", &[b'x'; 100 * 1024]),
            ("bulk", &bulk),
            ("static/file", &[b'x'; 10 * 1024]),
            ("both.pem", &both),
        ];
        std::fs::create_dir(dir.path().join("static")).unwrap();
        files.iter().for_each(|(name, bytes)| std::fs::write(dir.path().join(name), bytes).unwrap());
        let descriptors = raise_descriptors();
        let cpu = keep_clients_apart();
        let config = dir.path().join("origin.conf");
        std::fs::write(&config, configs::origin(dir.path(), origin)).unwrap();
        let process = Process::start(Command::new("nginx").arg("-c").arg(&config));
        first_answer(origin, Instant::now());
        let (program, seconds) = (arguments.program.clone(), arguments.seconds);
        let remarks = RefCell::default();
        Self { dir, program, seconds, origin, descriptors, cpu, remarks, _origin: process }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The contestant's own.
    pub(crate) fn folder(&self, contestant: Contestant) -> PathBuf {
        let folder = self.path().join(contestant.name());
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    /// The beginning of a command that has the proxy's CPU for itself.
    pub(crate) fn on_proxy_cpu(&self) -> Command {
        match self.cpu {
            Some(cpu) => {
                let mut command = Command::new("taskset");
                command.args(["--cpu-list", &cpu.to_string()]);
                command
            }
            None => Command::new("env"),
        }
    }

    /// To be told below the tables, once.
    pub(crate) fn remark(&self, text: String) {
        let mut remarks = self.remarks.borrow_mut();
        if !remarks.contains(&text) {
            remarks.push(text);
        }
    }

    pub(crate) fn remarks(&self) -> String {
        self.remarks.borrow().iter().map(|remark| format!("{remark}\n")).collect()
    }
}

fn read(folder: &Path, name: &str) -> Vec<u8> {
    std::fs::read(folder.join(name)).unwrap()
}

/// As far as the system lets us, for ourselves and for whom we start.
fn raise_descriptors() -> usize {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    usize::try_from(hard).unwrap_or(usize::MAX)
}

/// Moves us, and with us the load and the origin, away from the last CPU, and gives its number.
fn keep_clients_apart() -> Option<usize> {
    let last = std::thread::available_parallelism().map_or(1, usize::from) - 1;
    if last == 0 {
        return None;
    }
    let (others, pid) = (format!("0-{}", last - 1), std::process::id().to_string());
    let output = run("taskset", "util-linux", &["--cpu-list", "--pid", &others, &pid]);
    assert!(output.status.success(), "taskset: {}", String::from_utf8_lossy(&output.stderr));
    Some(last)
}
