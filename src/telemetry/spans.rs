//! Spans of sampled requests, on their way to an OpenTelemetry collector.
//!
//! Owns what a span says (semantic conventions for HTTP spans 1.23 and later) and the bounded queue
//! between requests and the exporter. A request never waits for it: what does not fit is counted and lost.

pub mod otlp;

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use tokio::sync::{mpsc, oneshot};

/// One finished request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestSpan {
    pub trace: u128,
    pub id: u64,
    pub parent: Option<u64>,
    pub start: SystemTime,
    pub took: Duration,
    pub method: String,
    pub scheme: &'static str,
    pub host: String,
    pub port: u16,
    /// Without its query.
    pub path: String,
    pub route: Option<String>,
    pub version: &'static str,
    pub client: String,
    pub peer: String,
    pub user_agent: Option<String>,
    pub status: u16,
    /// Why it failed: a word of docs/logging.md.
    pub error: Option<&'static str>,
    pub upstream: Option<UpstreamSpan>,
}

/// Its last attempt at an upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamSpan {
    pub id: u64,
    /// After the start of the request.
    pub began: Duration,
    pub upstream: String,
    pub address: Option<SocketAddr>,
    pub status: Option<u16>,
    /// Attempts before this one.
    pub resends: u32,
}

/// What the exporter gets.
#[derive(Debug)]
pub enum Order {
    Export(Box<RequestSpan>),
    /// Send what is there now, and tell.
    Flush(oneshot::Sender<()>),
}

/// Where finished requests are handed in.
#[derive(Debug)]
pub struct Spans(mpsc::Sender<Order>);

impl Spans {
    /// The queue's two ends.
    #[must_use]
    pub fn queue() -> (Self, mpsc::Receiver<Order>) {
        let (sender, receiver) = mpsc::channel(MOST_WAITING);
        (Self(sender), receiver)
    }

    /// Hands a span in; false when it was lost.
    #[must_use]
    pub fn push(&self, span: RequestSpan) -> bool {
        self.0.try_send(Order::Export(Box::new(span))).is_ok()
    }

    /// Waits until what was handed in so far has been sent, or has failed; no longer than `limit`.
    pub async fn flush(&self, limit: Duration) {
        let (done, told) = oneshot::channel();
        let flushed = async {
            if self.0.send(Order::Flush(done)).await.is_ok() {
                let _ = told.await;
            }
        };
        let _ = tokio::time::timeout(limit, flushed).await;
    }
}

/// `text` cut to what a span may hold: a client decides how long it is.
#[must_use]
pub fn cut(text: &str) -> String {
    let end = (0..=text.len().min(LONGEST)).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text.get(..end).unwrap_or_default().to_owned()
}

/// That of OpenTelemetry's own exporters; some 2 MiB at the worst.
const MOST_WAITING: usize = 2048;
/// Of one attribute.
const LONGEST: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_between_characters() {
        assert_eq!(cut("ab"), "ab");
        let long = format!("{}\u{e9}", "x".repeat(LONGEST - 1));
        assert_eq!(cut(&long), "x".repeat(LONGEST - 1));
    }

    #[tokio::test]
    async fn loses_spans_instead_of_blocking_and_flushes_no_longer_than_asked() {
        let (spans, receiver) = Spans::queue();
        let taken = (0..MOST_WAITING + 3).filter(|_| spans.push(otlp::tests::request())).count();
        assert_eq!(taken, MOST_WAITING);
        spans.flush(Duration::from_millis(10)).await;
        drop(receiver);
        spans.flush(Duration::from_secs(60)).await;
        assert!(!spans.push(otlp::tests::request()));
    }
}
