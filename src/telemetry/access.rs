//! The access log: one JSON line a request, written to stdout by a thread of its own.
//!
//! Owns the line's fields and the buffer between requests and writer. Lines are written in batches,
//! at most `PAUSE` late: waking the writer for each one costs more than the line. A reader that is
//! too slow costs lines, which are counted, never requests.

use std::borrow::Cow;
use std::io::{self, Write};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;

/// One request as the log has it. Field names are a contract with log pipelines.
#[derive(Debug, Serialize)]
pub struct AccessLine<'a> {
    /// Seconds since the Unix epoch, when the request's head was read.
    pub ts: f64,
    pub client_ip: String,
    pub peer_ip: String,
    pub scheme: &'static str,
    pub protocol: &'static str,
    pub method: &'a str,
    pub host: &'a str,
    /// Path and query as received.
    pub target: Cow<'a, str>,
    pub status: u16,
    /// Body bytes sent to the client.
    pub bytes: u64,
    /// Seconds from the request's head to the end of the response.
    pub duration: f64,
    pub vhost: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream_address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<Cow<'a, str>>,
    /// Why it failed, when it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Where lines are handed in.
#[derive(Debug)]
pub struct AccessLog(Option<Arc<Shared>>);

/// The writer's thread, as far as its end matters.
#[derive(Debug)]
pub struct AccessLogWriter {
    shared: Arc<Shared>,
    /// Closed when everything is written.
    done: Receiver<()>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// Rung when the first line of a batch comes, and at the end.
    bell: Condvar,
}

#[derive(Debug, Default)]
struct State {
    lines: Vec<u8>,
    closed: bool,
}

impl Shared {
    /// A panic elsewhere can't leave half a line: lines are appended whole.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for lines and takes them; `None` when there will be no more.
    fn next_batch(&self, spare: Vec<u8>) -> Option<Vec<u8>> {
        let mut state = self.lock();
        while state.lines.is_empty() {
            if state.closed {
                return None;
            }
            state = self.bell.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if !state.closed {
            // What comes in the meantime goes out in the same call; only the end rings.
            let wait = self.bell.wait_timeout_while(state, PAUSE, |state| !state.closed);
            state = wait.unwrap_or_else(PoisonError::into_inner).0;
        }
        Some(std::mem::replace(&mut state.lines, spare))
    }
}

impl AccessLog {
    /// A log that takes nothing.
    #[must_use]
    pub const fn off() -> Self {
        Self(None)
    }

    /// Starts the writer thread.
    ///
    /// # Errors
    /// When the thread can't be started.
    pub fn start<W: Write + Send + 'static>(out: W) -> io::Result<(Self, AccessLogWriter)> {
        let shared = Arc::new(Shared::default());
        let (unfinished, done) = mpsc::channel();
        let lines = Arc::clone(&shared);
        std::thread::Builder::new().name("access-log".to_owned()).spawn(move || {
            write_all(&lines, out);
            drop(unfinished);
        })?;
        Ok((Self(Some(Arc::clone(&shared))), AccessLogWriter { shared, done }))
    }

    /// Whether lines are wanted at all.
    #[must_use]
    pub const fn enabled(&self) -> bool {
        self.0.is_some()
    }

    /// Hands a line in; false when it was lost.
    #[must_use]
    pub fn write(&self, line: &AccessLine<'_>) -> bool {
        let Some(shared) = &self.0 else { return true };
        let mut bytes = Vec::with_capacity(LINE_GUESS);
        if serde_json::to_writer(&mut bytes, line).is_err() {
            return false;
        }
        bytes.push(b'\n');
        let mut state = shared.lock();
        if state.closed || state.lines.len() + bytes.len() > MOST_WAITING {
            return false;
        }
        let first = state.lines.is_empty();
        state.lines.extend_from_slice(&bytes);
        drop(state);
        if first {
            shared.bell.notify_one();
        }
        true
    }
}

impl AccessLogWriter {
    /// Ends the log and waits until all is written. Not for long: a stdout that nobody reads takes
    /// nothing more.
    pub fn finish(self) {
        self.shared.lock().closed = true;
        self.shared.bell.notify_one();
        let _ = self.done.recv_timeout(LAST_LINES);
    }
}

fn write_all<W: Write>(shared: &Shared, mut out: W) {
    let mut spare = Vec::new();
    while let Some(mut batch) = shared.next_batch(spare) {
        // A closed stdout must not end the proxy; there is nowhere left to say so.
        let _ = out.write_all(&batch).and_then(|()| out.flush());
        batch.clear();
        // Kept for the next batch, unless a burst has made it large.
        batch.shrink_to(SPARE);
        spare = batch;
    }
}

/// How late a line may be written.
const PAUSE: Duration = Duration::from_millis(50);
/// Bytes of lines that wait at most: about ten thousand requests.
const MOST_WAITING: usize = 4 << 20;
/// What the writer keeps of its buffer.
const SPARE: usize = 64 << 10;
/// What writing the last lines may take.
const LAST_LINES: Duration = Duration::from_millis(500);
/// A typical line fits.
const LINE_GUESS: usize = 384;

#[cfg(test)]
mod tests {
    use super::*;

    fn line(target: &str) -> AccessLine<'_> {
        AccessLine {
            ts: 1.5,
            client_ip: "192.0.2.1".to_owned(),
            peer_ip: "192.0.2.1".to_owned(),
            scheme: "https",
            protocol: "HTTP/2.0",
            method: "GET",
            host: "a.test",
            target: target.into(),
            status: 200,
            bytes: 3,
            duration: 0.25,
            vhost: "a.test",
            upstream: None,
            upstream_address: None,
            user_agent: None,
            error: None,
        }
    }

    #[derive(Clone, Default)]
    struct Shared(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(buf);
            Ok(buf.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn writes_each_line_as_json_with_hostile_bytes_escaped() {
        let out = Shared::default();
        let (log, writer) = AccessLog::start(out.clone()).unwrap();
        assert!(log.write(&line("/a\"\n{}")));
        assert!(log.write(&line("/b")));
        writer.finish();
        assert!(!log.write(&line("/late")));
        let text = String::from_utf8(out.0.lock().unwrap().clone()).unwrap();
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0]["target"], "/a\"\n{}");
        assert_eq!(lines[0]["status"], 200);
        assert!(lines[0].get("error").is_none());
    }

    #[test]
    fn loses_lines_instead_of_blocking() {
        struct Stuck(std::sync::mpsc::Receiver<()>);
        impl Write for Stuck {
            fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
                let _ = self.0.recv();
                Ok(buf.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let (release, held) = std::sync::mpsc::channel();
        let (log, _writer) = AccessLog::start(Stuck(held)).unwrap();
        let lines = 2 * MOST_WAITING / 200;
        let lost = (0..lines).filter(|_| !log.write(&line("/"))).count();
        assert!(lost > 0 && lost < lines, "{lost} of {lines}");
        drop(release);
    }
}
