//! The access log: one JSON line a request, written to stdout by a thread of its own.
//!
//! Owns the line's fields and the queue. A reader that is too slow costs lines, which are counted,
//! never requests.

use std::borrow::Cow;
use std::io::{self, Write};
use std::sync::mpsc::{self, Receiver, SyncSender, TrySendError};
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
pub struct AccessLog(Option<SyncSender<Vec<u8>>>);

/// The writer's thread, as far as its end matters.
#[derive(Debug)]
pub struct AccessLogWriter {
    /// Closed when everything is written.
    done: Receiver<()>,
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
        let (sender, receiver) = mpsc::sync_channel(QUEUE);
        let (unfinished, done) = mpsc::channel();
        std::thread::Builder::new().name("access-log".to_owned()).spawn(move || {
            write_all(&receiver, out);
            drop(unfinished);
        })?;
        Ok((Self(Some(sender)), AccessLogWriter { done }))
    }

    /// Whether lines are wanted at all.
    #[must_use]
    pub const fn enabled(&self) -> bool {
        self.0.is_some()
    }

    /// Queues a line; false when it was lost.
    #[must_use]
    pub fn write(&self, line: &AccessLine<'_>) -> bool {
        let Some(sender) = &self.0 else { return true };
        let mut bytes = Vec::with_capacity(LINE_GUESS);
        if serde_json::to_writer(&mut bytes, line).is_err() {
            return false;
        }
        bytes.push(b'\n');
        !matches!(sender.try_send(bytes), Err(TrySendError::Full(_) | TrySendError::Disconnected(_)))
    }
}

impl AccessLogWriter {
    /// Waits until all is written. Not for long: a request stuck in a dead disk still holds the log,
    /// and a stdout that nobody reads takes nothing more.
    pub fn finish(self) {
        let _ = self.done.recv_timeout(LAST_LINES);
    }
}

/// Writes what is queued in one go, so that a busy log costs few system calls.
fn write_all<W: Write>(lines: &Receiver<Vec<u8>>, mut out: W) {
    let mut batch = Vec::new();
    while let Ok(first) = lines.recv() {
        batch.clear();
        batch.extend_from_slice(&first);
        while batch.len() < BATCH {
            let Ok(line) = lines.try_recv() else { break };
            batch.extend_from_slice(&line);
        }
        // A closed stdout must not end the proxy; there is nowhere left to say so.
        let _ = out.write_all(&batch).and_then(|()| out.flush());
    }
}

/// Lines waiting at most: some seconds of traffic, some MiB of memory.
const QUEUE: usize = 8192;
/// What writing the last lines may take.
const LAST_LINES: Duration = Duration::from_millis(500);
/// Bytes written at once.
const BATCH: usize = 64 * 1024;
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
        drop(log);
        writer.finish();
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
        let lost = (0..QUEUE * 2).filter(|_| !log.write(&line("/"))).count();
        assert!(lost > 0);
        drop(release);
    }
}
