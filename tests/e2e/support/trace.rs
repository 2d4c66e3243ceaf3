//! System calls of the program under test, as strace(1) writes them down: one file for each thread,
//! arguments as plain numbers.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::flux::wait;
use super::run;

/// One call that was made; what it answered is the kernel's matter.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Call {
    pub(crate) name: String,
    pub(crate) args: Vec<u64>,
}

/// What the proxy called from its exec on.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    /// Until its second filter was installed, that call included.
    pub(crate) launch: Vec<Call>,
    /// From then on, in all threads.
    pub(crate) serve: Vec<Call>,
}

/// strace in front of `program`, writing to `prefix` and the numbers of threads. The tracer is a
/// process aside, so that the program keeps its place and its signals.
pub(crate) fn strace(prefix: &Path, program: &Path) -> Command {
    // By a call of its own: a missing one shall say how to install it.
    run("strace", "strace", &["-V"]);
    let mut command = Command::new("strace");
    command.args(["-D", "-ff", "-q", "-e", "raw=all", "-e", "verbose=none", "-e", "signal=none", "-o"]);
    command.arg(prefix).arg(program);
    command
}

impl Trace {
    /// Reads what is at `prefix`, once all that was traced has ended. `starter` is the first process
    /// there; its own calls count only if it became the proxy.
    pub(crate) fn read(prefix: &Path, starter: u32) -> Self {
        let ended = |text: &String| text.trim_end().ends_with("+++");
        let texts = wait(|| {
            let texts: Vec<_> = files(prefix).iter().map(|path| (number(path), read(path))).collect();
            (!texts.is_empty() && texts.iter().all(|(_, text)| ended(text))).then_some(texts)
        });
        let mut trace = Self::default();
        for (number, text) in texts.unwrap_or_else(|| panic!("{} doesn't end", prefix.display())) {
            match from_exec(&text).and_then(at_filter) {
                Some((launch, serve)) => {
                    trace.launch.extend(calls(launch));
                    trace.serve.extend(calls(serve));
                }
                None if number == starter => {}
                None => trace.serve.extend(calls(&text)),
            }
        }
        assert!(!trace.launch.is_empty(), "no filter was installed: {}", prefix.display());
        trace
    }
}

fn files(prefix: &Path) -> Vec<PathBuf> {
    let name = format!("{}.", prefix.file_name().unwrap().to_str().unwrap());
    let listed = std::fs::read_dir(prefix.parent().unwrap()).unwrap().map(|entry| entry.unwrap().path());
    listed.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(&name)).collect()
}

fn number(path: &Path) -> u32 {
    path.extension().unwrap().to_str().unwrap().parse().unwrap()
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned()
}

/// What follows the last exec that went well.
fn from_exec(text: &str) -> Option<&str> {
    let lines = text.match_indices("execve(").map(|(at, _)| &text[at..]);
    let line = lines.filter(|rest| rest.lines().next().unwrap().ends_with("= 0")).last()?;
    Some(line.split_once('\n')?.1)
}

/// What comes up to the first filter from there, and what after it.
fn at_filter(text: &str) -> Option<(&str, &str)> {
    // SECCOMP_SET_MODE_FILTER.
    let (at, _) = text.match_indices("seccomp(0x1, ").next()?;
    let end = at + text[at..].find('\n')?;
    text[at..end].ends_with("= 0").then(|| text.split_at(end))
}

fn calls(text: &str) -> impl Iterator<Item = Call> {
    text.lines().filter_map(|line| {
        let (name, rest) = line.split_once('(')?;
        // Interrupted by the end of the process, a call has no closing bracket.
        let args = rest.split([')', '<']).next().unwrap();
        let args = args.split(", ").map(str::trim).filter(|word| !word.is_empty()).map(argument).collect();
        let is_call = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        is_call.then(|| Call { name: name.to_owned(), args })
    })
}

fn argument(word: &str) -> u64 {
    let digits = word.strip_prefix("0x").unwrap_or(word);
    u64::from_str_radix(digits, 16).unwrap_or_else(|error| panic!("{word}: {error}"))
}
