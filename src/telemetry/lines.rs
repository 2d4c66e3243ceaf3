//! Lines for stdout and stderr, written by a thread of their own.
//!
//! Owns the buffer between whoever has a line and the writer. Lines are written in batches, at most
//! `PAUSE` late: waking the writer for each one costs more than the line. A reader that is too slow
//! costs lines, never requests: no thread that serves them ever waits for it.

use std::io::{self, Write};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Where lines are handed in.
#[derive(Debug, Clone)]
pub struct Lines(Arc<Shared>);

/// The writer's thread, as far as its end matters.
#[derive(Debug)]
pub struct Writer {
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

impl Lines {
    /// Starts a writer thread of that name.
    ///
    /// # Errors
    /// When the thread can't be started.
    pub fn start<W: Write + Send + 'static>(name: &str, out: W) -> io::Result<(Self, Writer)> {
        let shared = Arc::new(Shared::default());
        let (unfinished, done) = mpsc::channel();
        let lines = Arc::clone(&shared);
        std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            write_all(&lines, out);
            drop(unfinished);
        })?;
        Ok((Self(Arc::clone(&shared)), Writer { shared, done }))
    }

    /// Hands a whole line in, its end included; false when it was lost.
    #[must_use]
    pub fn push(&self, line: &[u8]) -> bool {
        let mut state = self.0.lock();
        if state.closed || state.lines.len() + line.len() > MOST_WAITING {
            return false;
        }
        let first = state.lines.is_empty();
        state.lines.extend_from_slice(line);
        drop(state);
        if first {
            self.0.bell.notify_one();
        }
        true
    }
}

impl Writer {
    /// Takes no more lines and waits until all are written. Not for long: an output that nobody reads
    /// takes nothing more.
    pub fn finish(self) {
        self.shared.lock().closed = true;
        self.shared.bell.notify_one();
        let _ = self.done.recv_timeout(LAST_LINES);
    }
}

fn write_all<W: Write>(shared: &Shared, mut out: W) {
    let mut spare = Vec::new();
    while let Some(mut batch) = shared.next_batch(spare) {
        // A closed output must not end the proxy; there is nowhere left to say so.
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

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// An output that the test can read.
    #[derive(Clone, Default)]
    pub(crate) struct Kept(pub(crate) Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(buf);
            Ok(buf.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn writes_lines_in_order_and_takes_none_after_the_end() {
        let kept = Kept::default();
        let (lines, writer) = Lines::start("test", kept.clone()).unwrap();
        assert!(lines.push(b"a\n") && lines.push(b"b\n"));
        writer.finish();
        assert_eq!(*kept.0.lock().unwrap(), b"a\nb\n");
        assert!(!lines.push(b"late\n"));
    }

    #[test]
    fn loses_lines_instead_of_blocking() {
        struct Stuck(Receiver<()>);
        impl Write for Stuck {
            fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
                let _ = self.0.recv();
                Ok(buf.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let (release, held) = mpsc::channel();
        let (lines, _writer) = Lines::start("test", Stuck(held)).unwrap();
        let line = [b'x'; 256];
        let lost = (0..3 * MOST_WAITING / line.len()).filter(|_| !lines.push(&line)).count();
        assert!(lost > 0);
        drop(release);
    }
}
