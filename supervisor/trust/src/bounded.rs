//! Work that may never end: files on a mount that does not answer.
//!
//! Owns the clock. The work has a thread of its own, which is left behind when it is late; whoever
//! waits goes on. Of those left behind there are only so many.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub enum Late {
    /// It is still at work.
    #[error("no answer within {} s: a mount does not answer", .0.as_secs())]
    TimedOut(Duration),
    /// Too many before it still are.
    #[error("{MOST_LEFT_BEHIND} earlier attempts still wait for a mount that does not answer")]
    Crowded,
    /// It could not begin.
    #[error("cannot start a thread: {0}")]
    NoThread(#[from] io::Error),
    /// A fault of our own.
    #[error("the work ended without a result")]
    Ended,
}

/// Runs `work` on a thread of its own and waits for it; when this returns a result, that thread is
/// gone.
///
/// # Errors
/// [`Late`]: there is no result, or none yet.
pub fn within<T, W>(patience: Duration, work: W) -> Result<T, Late>
where
    T: Send + 'static,
    W: FnOnce() -> T + Send + 'static,
{
    if LEFT_BEHIND.load(Ordering::Acquire) >= MOST_LEFT_BEHIND {
        return Err(Late::Crowded);
    }
    let (done, result) = mpsc::sync_channel(1);
    let thread = std::thread::Builder::new().name("files".to_owned()).spawn(move || {
        // Nobody waits for a result that comes too late.
        if done.send(work()).is_err() {
            LEFT_BEHIND.fetch_sub(1, Ordering::AcqRel);
        }
    })?;
    match result.recv_timeout(patience) {
        Ok(value) => {
            let _ = thread.join();
            Ok(value)
        }
        Err(RecvTimeoutError::Timeout) => {
            LEFT_BEHIND.fetch_add(1, Ordering::AcqRel);
            Err(Late::TimedOut(patience))
        }
        Err(RecvTimeoutError::Disconnected) => Err(Late::Ended),
    }
}

/// Threads that a mount still holds.
static LEFT_BEHIND: AtomicUsize = AtomicUsize::new(0);
/// More of them would find out no more.
const MOST_LEFT_BEHIND: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_what_the_work_gave() {
        assert_eq!(within(Duration::from_secs(60), || 7).unwrap(), 7);
    }

    #[test]
    fn goes_on_without_what_never_ends_and_leaves_only_so_many_behind() {
        let mut holds = Vec::new();
        let mut late = || {
            let (hold, held) = mpsc::channel::<()>();
            holds.push(hold);
            within(Duration::from_millis(20), move || held.recv().is_ok()).unwrap_err()
        };
        for _ in 0..MOST_LEFT_BEHIND {
            assert!(matches!(late(), Late::TimedOut(_)));
        }
        assert!(matches!(late(), Late::Crowded));
        // One that ends at last makes room.
        holds.remove(0);
        let end = std::time::Instant::now() + Duration::from_secs(60);
        while within(Duration::from_secs(60), || ()).is_err() {
            assert!(std::time::Instant::now() < end, "the count never goes down");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
