//! The end of what a program writes.
//!
//! Owns how much of it is kept: all of it is read, so that nobody waits for a full pipe.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe::Receiver;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// A pipe that is being read.
pub(super) struct Tail {
    kept: Arc<Mutex<Kept>>,
    reading: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Kept {
    end: VecDeque<u8>,
    /// Of all that came.
    bytes: u64,
}

/// What was read.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    /// Its end, as text.
    pub(super) end: String,
    pub(super) bytes: u64,
}

impl Tail {
    /// Reads `pipe` to its end, and keeps the last of it.
    ///
    /// # Errors
    /// When the runtime can't watch it.
    pub(super) fn of(pipe: OwnedFd) -> io::Result<Self> {
        let mut pipe = Receiver::from_owned_fd(pipe)?;
        let kept = Arc::new(Mutex::new(Kept::default()));
        let keep = Arc::clone(&kept);
        let reading = tokio::spawn(async move {
            let mut room = vec![0; ROOM];
            while let Ok(length @ 1..) = pipe.read(&mut room).await {
                let read = room.get(..length).unwrap_or_default();
                keep.lock().unwrap_or_else(PoisonError::into_inner).add(read);
            }
        });
        Ok(Self { kept, reading })
    }

    /// What was said, once all who could write there are gone, or after a moment.
    pub(super) async fn said(mut self) -> Said {
        // What has left the program's group may hold the pipe for as long as it likes.
        if timeout(LINGER, &mut self.reading).await.is_err() {
            self.reading.abort();
        }
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let (front, back) = kept.end.as_slices();
        let end = String::from_utf8_lossy(&[front, back].concat()).into_owned();
        Said { end, bytes: kept.bytes }
    }
}

impl Kept {
    fn add(&mut self, read: &[u8]) {
        self.bytes = self.bytes.saturating_add(u64::try_from(read.len()).unwrap_or(u64::MAX));
        self.end.extend(read);
        let excess = self.end.len().saturating_sub(KEPT);
        self.end.drain(..excess);
    }
}

impl Said {
    /// The last line with anything in it.
    pub(super) fn last_line(&self) -> Option<&str> {
        self.end.lines().map(str::trim).rfind(|line| !line.is_empty())
    }
}

/// What a log line bears, and an error ends with.
const KEPT: usize = 4096;
const ROOM: usize = 16 << 10;
const LINGER: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_end_and_counts_the_rest() {
        let mut kept = Kept::default();
        for _ in 0..1000 {
            kept.add(&[b'x'; 3000]);
        }
        kept.add(b"end");
        assert_eq!((kept.end.len(), kept.bytes), (KEPT, 3_000_003));
        assert!(kept.end.iter().rev().copied().take(3).eq(*b"dne"));
        kept.add(&[b'y'; KEPT * 3]);
        assert!(kept.end.len() == KEPT && kept.end.iter().all(|byte| *byte == b'y'));
    }

    #[test]
    fn the_last_line_is_the_last_that_says_something() {
        let said = |end: &str| Said { end: end.to_owned(), bytes: 0 };
        assert_eq!(said("one\n two \r\n\n \n").last_line(), Some("two"));
        assert_eq!(said("\n").last_line(), None);
    }
}
