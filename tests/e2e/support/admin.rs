//! The admin socket, asked by bytes, and by `fluxheim ctl`.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Output;
use std::time::Duration;

use serde_json::Value;

use super::raw::{Response, parse};
use super::{Flux, Running, program, set_mode};

/// What the admin socket's keys are in tests.
pub(crate) const ADMIN: &str = "[admin]\nsocket = \"$DIR/run/admin.sock\"\n";

/// A proxy with an admin socket in a folder of its own.
pub(crate) fn administered(rest: &str) -> Flux {
    let flux = Flux::with(&format!("{ADMIN}{rest}"));
    std::fs::create_dir(flux.dir.path().join("run")).unwrap();
    set_mode(&flux.dir.path().join("run"), 0o700);
    flux
}

impl Running {
    pub(crate) fn admin_socket(&self) -> PathBuf {
        self.dir.path().join("run/admin.sock")
    }

    /// Sends `bytes` to the admin socket and reads until it is closed; `None` when nothing came back.
    pub(crate) fn admin_raw(&self, bytes: &[u8]) -> Option<Response> {
        let mut stream = UnixStream::connect(self.admin_socket()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        // It may be refused before it is whole.
        let _ = stream.write_all(bytes);
        let mut got = Vec::new();
        let _ = stream.read_to_end(&mut got);
        (!got.is_empty()).then(|| parse(&got))
    }

    /// One well-formed request.
    pub(crate) fn admin(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let fields = match body {
            "" => String::new(),
            body => format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len()),
        };
        let request = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n{body}");
        let response = self.admin_raw(request.as_bytes()).unwrap();
        (response.status, serde_json::from_slice(&response.body).unwrap())
    }

    /// `fluxheim ctl` with these words, by the configuration.
    pub(crate) fn ctl(&self, words: &str) -> Told {
        let config = self.config.to_str().unwrap();
        let args: Vec<&str> = ["ctl", "--config", config].into_iter().chain(words.split(' ')).collect();
        Told::from(program(&args))
    }
}

/// What a command said, and its exit code.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl From<Output> for Told {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }
}
