//! Sends finished spans to the collector that the running configuration names.
//!
//! Owns the batches and their timing. The collector is an upstream like any other, asked as others are for leave; nothing
//! is sent twice: what a collector does not take is counted and lost.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use fluxheim_config::Otlp;
use http::{Method, header};
use pingora::http::RequestHeader;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::edge::ask::Question;
use crate::edge::live::Live;
use crate::telemetry::Telemetry;
use crate::telemetry::metrics::SpansLost;
use crate::telemetry::spans::{Order, RequestSpan, otlp};
use crate::upstream::Pool;

/// What the exporter works with.
pub(super) struct Exporter {
    pub live: Arc<ArcSwap<Live>>,
    pub telemetry: Arc<Telemetry>,
    pub orders: mpsc::Receiver<Order>,
    /// Whether the last batch failed, so that an outage is said once.
    pub failing: bool,
}

impl Exporter {
    /// Runs until nobody can hand anything in.
    pub(super) async fn run(mut self) {
        while let Some(first) = self.orders.recv().await {
            let (batch, flushed) = self.gather(first).await;
            if !batch.is_empty() {
                self.send(&batch).await;
            }
            if let Some(flushed) = flushed {
                // Whoever asked may have given up.
                let _ = flushed.send(());
            }
        }
    }

    /// A full batch, or what has come by the end of the interval or a flush.
    async fn gather(&mut self, first: Order) -> (Vec<Box<RequestSpan>>, Option<oneshot::Sender<()>>) {
        let interval =
            self.live.load().config.tracing.otlp.as_ref().map_or(Duration::ZERO, |otlp| otlp.interval);
        let until = Instant::now() + interval;
        let mut batch = Vec::new();
        let mut next = Some(first);
        while let Some(order) = next {
            match order {
                Order::Export(span) => batch.push(span),
                Order::Flush(flushed) => return (batch, Some(flushed)),
            }
            if batch.len() == BATCH {
                break;
            }
            next = tokio::time::timeout_at(until, self.orders.recv()).await.ok().flatten();
        }
        (batch, None)
    }

    async fn send(&mut self, batch: &[Box<RequestSpan>]) {
        let live = self.live.load_full();
        let found =
            live.config.tracing.otlp.as_ref().and_then(|otlp| Some((otlp, live.pools.get(otlp.upstream)?)));
        // A reload has turned it off meanwhile.
        let Some((otlp, pool)) = found else { return };
        let body = Bytes::from(otlp::export(&otlp.service_name, batch));
        let outcome = deliver(&live, otlp, pool, &body).await;
        let (metrics, count) = (&self.telemetry.metrics, batch.len() as u64);
        match outcome {
            Ok(()) => {
                metrics.spans_exported.inc_by(count);
                if std::mem::take(&mut self.failing) {
                    tracing::info!(upstream = pool.config.name, "the collector takes spans again");
                }
            }
            Err(reason) => {
                metrics.spans_lost(SpansLost::ExportFailed, count);
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::warn!(upstream = pool.config.name, reason, "the collector takes no spans");
                }
            }
        }
    }
}

/// Hands a batch to the collector, once: it would count a span twice.
async fn deliver(live: &Live, otlp: &Otlp, pool: &Arc<Pool>, body: &Bytes) -> Result<(), String> {
    let head = head(otlp, pool, body.len()).map_err(|error| error.etype().as_str().to_owned())?;
    let question = Question { head: &head, body, is_safe: false };
    let answer = live.asker().put(pool, question, MOST_ANSWERED, LONGEST).await;
    match answer.map_err(|error| error.to_string())?.head.status {
        status if status.is_success() => Ok(()),
        status => Err(format!("it answers {}", status.as_u16())),
    }
}

fn head(otlp: &Otlp, pool: &Pool, length: usize) -> pingora::Result<RequestHeader> {
    let mut head = RequestHeader::build(Method::POST, otlp.path.as_bytes(), Some(4))?;
    head.insert_header(header::HOST, pool.authority())?;
    head.insert_header(header::CONTENT_TYPE, "application/json")?;
    head.insert_header(header::CONTENT_LENGTH, length)?;
    head.insert_header(header::USER_AGENT, concat!("fluxheim/", env!("CARGO_PKG_VERSION")))?;
    Ok(head)
}

/// That of OpenTelemetry's own exporters.
const BATCH: usize = 512;
/// The same: for one batch to be taken.
const LONGEST: Duration = Duration::from_secs(10);
/// What it says to that is a few words.
const MOST_ANSWERED: usize = 64 << 10;
