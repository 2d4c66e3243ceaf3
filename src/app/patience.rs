//! How long the files of a configuration may take, at a start and at a reload.
//!
//! Owns the limit and its words; the thread is `fluxheim-trust`'s.

use std::time::Duration;

use fluxheim_trust::bounded::within;

/// Runs `work`, which opens and reads the files of a configuration.
///
/// # Errors
/// Those of `work`, or that it did not end in time.
pub(super) fn reading<T, W>(work: W) -> Result<T, String>
where
    T: Send + 'static,
    W: FnOnce() -> Result<T, String> + Send + 'static,
{
    within(PATIENCE, work).unwrap_or_else(|late| {
        Err(format!(
            "reading the files of the configuration: {late}; --check-tls-storage says which of them lies on it"
        ))
    })
}

/// Much longer than any disk or network filesystem that lives needs for all of them.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
