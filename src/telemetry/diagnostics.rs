//! Diagnostics: JSON lines on stderr through `tracing`, the framework's `log` records included.
//!
//! Owns the subscriber's set-up. Requests are in the access log, not here. The framework's own
//! records, most of which any client can cause, show at `debug` and `trace` only, and only warnings and
//! errors of theirs.

use std::io;
use std::sync::OnceLock;

use fluxheim_config::LogLevel;
use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, reload};

use crate::telemetry::lines::{Lines, Writer};

/// Keeps the diagnostics going; dropped, it writes what is left.
#[derive(Debug)]
pub struct Diagnostics(Option<Writer>);

impl Drop for Diagnostics {
    fn drop(&mut self) {
        if let Some(writer) = self.0.take() {
            writer.finish();
        }
    }
}

/// Installs the subscriber for the whole process; a second call changes nothing.
///
/// # Errors
/// When the writer's thread can't be started.
pub fn install(level: LogLevel) -> io::Result<Diagnostics> {
    let (lines, writer) = Lines::start("diagnostics", io::stderr())?;
    let (filter, handle) = reload::Layer::new(filter(level));
    let installed = Registry::default().with(layer(Stderr(lines)).with_filter(filter)).try_init();
    if installed.is_ok() {
        // There is one subscriber, and so one of these.
        let _ = FILTER.set(handle);
    }
    // Already installed, as in tests: the first one stays.
    Ok(Diagnostics(installed.is_ok().then_some(writer)))
}

/// From now on as much is said as `level` asks for.
pub fn follow(level: LogLevel) {
    if let Some(handle) = FILTER.get() {
        // Fails only once the subscriber has gone, with the process.
        let _ = handle.reload(filter(level));
    }
}

static FILTER: OnceLock<reload::Handle<Targets, Registry>> = OnceLock::new();

fn layer<S>(out: Stderr) -> impl Layer<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_writer(out)
}

fn filter(level: LogLevel) -> Targets {
    let (ours, frameworks) = match level {
        LogLevel::Error => (LevelFilter::ERROR, LevelFilter::OFF),
        LogLevel::Warn => (LevelFilter::WARN, LevelFilter::OFF),
        LogLevel::Info => (LevelFilter::INFO, LevelFilter::OFF),
        // No more of them: below, whole heads are written out, credentials included.
        LogLevel::Debug => (LevelFilter::DEBUG, LevelFilter::WARN),
        LogLevel::Trace => (LevelFilter::TRACE, LevelFilter::WARN),
    };
    Targets::new()
        .with_default(frameworks)
        .with_target("fluxheim", ours)
        .with_target(AUDIT, LevelFilter::INFO)
}

/// The target of lines that tell who gave which order: written at every level.
pub const AUDIT: &str = "fluxheim::audit";

/// Hands each event in as a line; the formatter writes it whole.
#[derive(Debug, Clone)]
struct Stderr(Lines);

impl io::Write for Stderr {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        // A lost line is the price of never waiting for whoever reads stderr.
        let _ = self.0.push(buf);
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Stderr {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}
