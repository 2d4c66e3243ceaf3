//! `fluxheim dns-hook`, and a proxy that is one only to it.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fluxheim::wire::hook::GREETING;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use super::flux::collect;
use super::{set_mode, wait};

/// A started one; killed when dropped.
pub(crate) struct Hook {
    child: Child,
    lines: Arc<Mutex<Vec<Value>>>,
}

impl Hook {
    /// At `socket`, for `program`, with `options` before it.
    pub(crate) fn start(socket: &Path, options: &[&str], program: &Path) -> Self {
        Self::start_as(0, socket, options, program)
    }

    /// As that user, with a secret in the environment.
    pub(crate) fn start_as(uid: u32, socket: &Path, options: &[&str], program: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_fluxheim"))
            .args(["dns-hook", "--socket", socket.to_str().unwrap()])
            .args(options)
            .arg("--")
            .arg(program)
            .env("TOKEN", "secret of the provider")
            .env("OTHER", "secret of somebody else")
            .uid(uid)
            .gid(uid)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = collect(child.stderr.take().unwrap());
        Self { child, lines }
    }

    /// The first line with that message, and a field of it that holds `part`; waited for.
    pub(crate) fn wait_for(&self, message: &str, part: &str) -> Value {
        let fits = |line: &&Value| line["message"] == message && line.to_string().contains(part);
        let seen = || self.lines.lock().unwrap().iter().find(fits).cloned();
        wait(seen).unwrap_or_else(|| panic!("no {message:?} with {part:?} in {}", self.said()))
    }

    /// Everything that it has logged.
    pub(crate) fn said(&self) -> String {
        self.lines.lock().unwrap().iter().map(|line| format!("{line}\n")).collect()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).unwrap();
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        wait(|| self.child.try_wait().unwrap()).expect("dns-hook did not end")
    }
}

impl Drop for Hook {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A socket that a dns-hook comes to.
pub(crate) struct Asking {
    listener: UnixListener,
    pub(crate) path: PathBuf,
}

impl Asking {
    pub(crate) fn at(path: PathBuf) -> Self {
        let listener = UnixListener::bind(&path).unwrap();
        Self { listener, path }
    }

    /// The next one that comes; nothing is said to it.
    pub(crate) fn accept(&self) -> UnixStream {
        self.listener.accept().unwrap().0
    }

    /// The next one that comes, greeted.
    pub(crate) fn come(&self) -> Asked {
        loop {
            let (mut stream, _) = self.listener.accept().unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
            // One that was not greeted for too long has left.
            if stream.write_all(GREETING.as_bytes()).is_ok() {
                return Asked(stream);
            }
        }
    }
}

/// A dns-hook at the other end.
pub(crate) struct Asked(pub(crate) UnixStream);

impl Asked {
    pub(crate) fn send(&mut self, line: &str) {
        self.0.write_all(line.as_bytes()).unwrap();
    }

    /// The next line from there; empty when it has hung up.
    pub(crate) fn answer(&mut self) -> String {
        let mut line = String::new();
        // Whoever hangs up on what was not read resets the connection.
        let _ = BufReader::new(&self.0).read_line(&mut line);
        line
    }

    pub(crate) fn ask(&mut self, line: &str) -> String {
        self.send(line);
        self.answer()
    }
}

/// An executable script for `sh`, in a folder of its own.
pub(crate) fn script(folder: &Path, text: &str) -> PathBuf {
    let path = folder.join("hook");
    std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    set_mode(&path, 0o755);
    path
}
