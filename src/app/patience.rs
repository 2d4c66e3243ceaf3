//! Work that may never end: files on a mount that doesn't answer.
//!
//! Owns the clock. The work has a thread of its own, which is left behind when it is late; whoever
//! waits goes on.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

/// Runs `work`, which opens and reads the files of a configuration.
///
/// # Errors
/// Those of `work`, that there is no thread for it, or that it did not end in time.
pub(super) fn reading<T, W>(work: W) -> Result<T, String>
where
    T: Send + 'static,
    W: FnOnce() -> Result<T, String> + Send + 'static,
{
    within(PATIENCE, work)
}

fn within<T, W>(patience: Duration, work: W) -> Result<T, String>
where
    T: Send + 'static,
    W: FnOnce() -> Result<T, String> + Send + 'static,
{
    let (done, result) = mpsc::sync_channel(1);
    let thread = std::thread::Builder::new().name("files".to_owned());
    // Nobody waits for a result that comes too late.
    let started = thread.spawn(move || drop(done.send(work())));
    started.map_err(|error| format!("cannot start a thread to read files: {error}"))?;
    match result.recv_timeout(patience) {
        Ok(result) => result,
        Err(RecvTimeoutError::Timeout) => Err(format!(
            "reading the files of the configuration took longer than {} s: a mount does not answer; \
             --check-tls-storage says which file lies on it",
            patience.as_secs()
        )),
        Err(RecvTimeoutError::Disconnected) => {
            Err("reading the files of the configuration failed".to_owned())
        }
    }
}

/// Much longer than any disk or network filesystem that lives needs for all of them.
const PATIENCE: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goes_on_without_what_never_ends() {
        let (hold, held) = mpsc::channel::<()>();
        let error = within(Duration::from_millis(50), move || {
            let _ = held.recv();
            Ok(())
        });
        assert!(error.unwrap_err().contains("a mount does not answer"));
        drop(hold);
    }

    #[test]
    fn gives_what_the_work_gave() {
        assert_eq!(within(Duration::from_secs(5), || Ok(7)), Ok(7));
        assert_eq!(within(Duration::from_secs(5), || Err::<(), _>("no".to_owned())), Err("no".to_owned()));
    }
}
