//! Diagnostics: JSON lines on stderr through `tracing`, the framework's `log` records included.
//!
//! Owns the subscriber's set-up. Requests are in the access log, not here.

use fluxheim_config::LogLevel;
use tracing::level_filters::LevelFilter;

/// Installs the subscriber for the whole process; a second call changes nothing.
pub fn install(level: LogLevel) {
    let filter = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let subscriber = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_max_level(filter)
        .with_writer(std::io::stderr)
        .try_init();
    // Already installed, as in tests: the first one stays.
    drop(subscriber);
}
