//! The operator's program: judged, started with what it is meant to have and nothing else, waited for, bounded.
//!
//! Owns the contract of docs/acme-dns.md. What it writes is logged, what it is given is not.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use fluxheim_trust::judge_program;

use super::children::{Children, End, Leader};
use super::signals::Ended;
use super::tail::{Said, Tail};
use crate::wire::hook::{Answer, Request};

/// What is run.
#[derive(Debug)]
pub(super) struct Program {
    path: PathBuf,
    arguments: Vec<OsString>,
    environment: Vec<(String, OsString)>,
    limit: Duration,
    ended: Ended,
    children: Children,
}

impl Program {
    #[must_use]
    pub(super) fn new(
        path: PathBuf,
        arguments: Vec<OsString>,
        environment: Vec<(String, OsString)>,
        limit: Duration,
        ended: Ended,
    ) -> Self {
        Self { path, arguments, environment, limit, ended, children: Children::default() }
    }

    /// Sees to orphans for as long as the process lives.
    pub(super) async fn reap_orphans(&self) {
        self.children.reap_all(self.ended.clone()).await;
    }

    /// Runs it for one request.
    pub(super) async fn run(&self, request: &Request) -> Answer {
        let (begun, verb, name) = (Instant::now(), request.verb().name(), request.name());
        let (answer, said) = match self.start(request) {
            Ok(leader) => self.finish(leader).await,
            Err(why) => (Answer::Refused(why), [Said::default(), Said::default()]),
        };
        let [out, err] = said;
        let took = begun.elapsed().as_secs_f64();
        let (stdout, stderr) = (out.end, err.end);
        let (stdout_bytes, stderr_bytes) = (out.bytes, err.bytes);
        match &answer {
            Answer::Done => {
                tracing::info!(verb, name, took, stdout, stdout_bytes, stderr, stderr_bytes, "program done");
            }
            Answer::Failed(reason) | Answer::Refused(reason) => tracing::warn!(
                verb,
                name,
                took,
                reason,
                stdout,
                stdout_bytes,
                stderr,
                stderr_bytes,
                "program not done"
            ),
        }
        answer
    }

    fn start(&self, request: &Request) -> Result<Leader<'_>, String> {
        // Each time: it may have been replaced, or opened to others.
        judge_program(NAME, &self.path).map_err(|refused| refused.to_string().replace('\n', "; "))?;
        let mut command = Command::new(&self.path);
        command
            .args(&self.arguments)
            .args([request.verb().name(), request.name(), request.value()])
            .env_clear()
            .env("PATH", PATH)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let started = self.children.start(&mut command, &self.ended);
        started.map_err(|error| format!("{} can't be started: {error}", self.path.display()))
    }

    async fn finish(&self, mut leader: Leader<'_>) -> (Answer, [Said; 2]) {
        let pipes = (leader.child.stdout.take(), leader.child.stderr.take());
        let (out, err) = (tail(pipes.0.map(ChildStdout::into)), tail(pipes.1.map(ChildStderr::into)));
        let end = leader.finish(self.limit).await;
        let (out, err) = tokio::join!(said(out), said(err));
        let with_reason = |what: String| match err.last_line() {
            Some(line) => Answer::Failed(format!("{what}: {line}")),
            None => Answer::Failed(what),
        };
        let limit = self.limit.as_secs_f64();
        let answer = match end {
            End::Status(status) if status.success() => Answer::Done,
            End::Status(status) => with_reason(how(status)),
            End::Late => with_reason(format!("was ended after {limit} s (--timeout)")),
            End::Stuck => with_reason(format!("can't be ended after {limit} s (--timeout)")),
        };
        (answer, [out, err])
    }
}

/// Nothing is lost but words where the runtime can't watch a pipe.
fn tail(pipe: Option<OwnedFd>) -> Option<Tail> {
    let tail = Tail::of(pipe?);
    tail.inspect_err(|error| tracing::warn!(%error, "what the program says can't be read")).ok()
}

async fn said(tail: Option<Tail>) -> Said {
    match tail {
        Some(tail) => tail.said().await,
        None => Said::default(),
    }
}

fn how(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exited with {code}"),
        (None, Some(signal)) => format!("was ended by signal {signal}"),
        (None, None) => format!("ended: {status}"),
    }
}

/// Who names the program, as refusals have it.
pub(super) const NAME: &str = "dns-hook";
/// That of a login, in every container and on every host.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
