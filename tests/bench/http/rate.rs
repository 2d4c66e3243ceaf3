//! Requests for each CPU-second that a proxy uses, the contestants taking turns.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use crate::bulk;
use crate::configs;
use crate::contestant::{Contestant, Running};
use crate::handshakes;
use crate::stage::{Setup, Stage};
use crate::table::{Row, Unit};

/// What is measured.
pub(crate) struct Job<'a> {
    pub(crate) title: &'a str,
    pub(crate) setup: Setup,
    pub(crate) load: Load,
}

/// What the clients do.
#[derive(Debug, Clone)]
pub(crate) enum Load {
    /// wrk, 32 connections that are kept.
    Wrk(&'static str),
    /// The same from a folder.
    Files(&'static str),
    /// The same, a connection a request.
    Closing(&'static str),
    /// The same with the hosts that the script at the path chooses.
    Hosts(PathBuf),
    /// h2load, 8 connections of 16 streams.
    H2(&'static str),
    Handshakes,
    Resumed,
    /// Counted in MiB.
    Bulk,
}

/// All rounds of a job.
pub(crate) fn measure(stage: &Stage, job: &Job<'_>) -> Row {
    let mut contestants: Vec<_> = Contestant::ALL
        .into_iter()
        .filter(|one| one.serves_files() || !matches!(job.load, Load::Files(_)))
        .map(|one| (one, one.start(stage, job.setup), Vec::new()))
        .collect();
    for _ in 0..ROUNDS {
        for (_, running, samples) in &mut contestants {
            samples.push(per_cpu_second(stage, &job.load, running));
        }
    }
    let samples = contestants.into_iter().map(|(one, _, samples)| (one, samples)).collect();
    Row { title: job.title.to_owned(), unit: Unit::PerCpuSecond, samples }
}

fn per_cpu_second(stage: &Stage, load: &Load, running: &Running) -> f64 {
    let before = running.cpu_seconds();
    let (seconds, http) = (stage.seconds, running.http);
    let done = match load {
        Load::Wrk(path) | Load::Files(path) => wrk(seconds, http, path, &[]),
        Load::Closing(path) => wrk(seconds, http, path, &["-H", "Connection: close"]),
        Load::Hosts(script) => wrk(seconds, http, "/", &["-s", script.to_str().unwrap()]),
        Load::H2(path) => h2load(seconds, running.https, path),
        Load::Handshakes => handshakes::count(stage, running.https),
        Load::Resumed => handshakes::count_resumed(stage, running.https),
        Load::Bulk => bulk::mebibytes(stage, running.https),
    };
    // The clock has a hundred ticks a second.
    done / (running.cpu_seconds() - before).max(0.01)
}

fn wrk(seconds: u32, at: SocketAddr, path: &str, more: &[&str]) -> f64 {
    let (duration, url) = (format!("{seconds}s"), format!("http://{at}{path}"));
    let said = say(Command::new("wrk")
        .args(["-t1", "-c32", "-d", &duration, "-H", "Host: a.test"])
        .args(more)
        .arg(url));
    assert!(!said.contains("Non-2xx") && !said.contains("Socket errors"), "{said}");
    number_before(&said, " requests in ")
}

fn h2load(seconds: u32, at: SocketAddr, path: &str) -> f64 {
    let (duration, url) = (seconds.to_string(), format!("https://{at}{path}"));
    let said = say(Command::new("h2load").args(["-t1", "-c8", "-m16", "-D", &duration, &url]));
    for fact in ["Application protocol: h2", "TLS Protocol: TLSv1.3", " 0 failed, 0 errored, 0 timeout"] {
        assert!(said.contains(fact), "no {fact:?} in {said}");
    }
    let succeeded = number_before(&said, " 2xx, ");
    assert!(succeeded > 0.0 && said.contains(" 0 4xx, 0 5xx"), "{said}");
    succeeded
}

fn say(command: &mut Command) -> String {
    let program = command.get_program().to_owned();
    let output = command.output().unwrap_or_else(|error| {
        panic!("{}: {error}; install it with: apt-get install -y nghttp2-client wrk", program.display())
    });
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

/// The number right before `mark`.
fn number_before(said: &str, mark: &str) -> f64 {
    let before = said.split_once(mark).unwrap_or_else(|| panic!("no {mark:?} in {said}")).0;
    before.rsplit([' ', '\n']).next().unwrap().parse().unwrap_or_else(|error| panic!("{error}: {said}"))
}

/// A wrk script that asks hosts at random, the same ones each time.
pub(crate) fn random_hosts(stage: &Stage, count: usize) -> PathBuf {
    let path = stage.path().join("hosts.lua");
    let name = configs::host(0).replace('0', "\" .. number .. \"");
    let script = format!(
        "local requests = {{}}\nfunction init()\n  math.randomseed(7)\n  for number = 0, {} do\n    \
         requests[number + 1] = wrk.format(\"GET\", \"/\", {{ Host = \"{name}\" }})\n  end\nend\n\
         function request()\n  return requests[math.random(#requests)]\nend\n",
        count - 1
    );
    std::fs::write(&path, script).unwrap();
    path
}

const ROUNDS: usize = 5;
