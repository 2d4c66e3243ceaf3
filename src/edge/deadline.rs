//! The end of a request that takes too long in all.
//!
//! Owns the clock around the framework's handling of a request.
//! Where a request waits for something that has a timeout of its own, that timeout is shortened to what is
//! left, and the client gets an answer; this is for the rest: a client or an upstream that trickles. The
//! framework drops its half of the request then, which resets the stream or closes the connection.

use std::cell::Cell;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use pingora::apps::{HttpServerApp, HttpServerOptions, ReusedHttpStream};
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v2::server::H2Options;
use pingora::proxy::HttpProxy;
use pingora::server::ShutdownWatch;
use tokio::time::{Instant, sleep_until};

use crate::edge::Edge;

/// The proxy of a listener, with an end to each request.
pub struct Timed(pub Arc<HttpProxy<Edge>>);

#[async_trait]
impl HttpServerApp for Timed {
    async fn process_new_http(
        self: &Arc<Self>,
        session: ServerSession,
        shutdown: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        let request = self.0.process_new_http(session, shutdown);
        DUE.scope(Cell::new(None), cut_when_due(request)).await.flatten()
    }

    fn h2_options(&self) -> Option<H2Options> {
        self.0.h2_options()
    }

    fn server_options(&self) -> Option<&HttpServerOptions> {
        HttpServerApp::server_options(self.0.as_ref())
    }

    async fn http_cleanup(&self) {
        self.0.http_cleanup().await;
    }
}

tokio::task_local! {
    /// When the request that this task is serving ends at the latest, once that is known.
    static DUE: Cell<Option<Instant>>;
}

/// Sets or lifts the end of the request being served.
pub(super) fn set(due: Option<Instant>) {
    // Outside of a request there is nothing to end.
    let _ = DUE.try_with(|cell| cell.set(due.map(|due| due + GRACE)));
}

/// `None` when the time was over.
async fn cut_when_due<T>(request: impl Future<Output = T>) -> Option<T> {
    let mut request = pin!(request);
    let mut alarm: Option<std::pin::Pin<Box<tokio::time::Sleep>>> = None;
    std::future::poll_fn(move |cx| {
        if let Poll::Ready(done) = request.as_mut().poll(cx) {
            return Poll::Ready(Some(done));
        }
        // It can only have changed while the request was being polled.
        let Some(due) = DUE.with(Cell::get) else {
            alarm = None;
            return Poll::Pending;
        };
        let alarm = alarm.get_or_insert_with(|| Box::pin(sleep_until(due)));
        if alarm.deadline() != due {
            alarm.as_mut().reset(due);
        }
        alarm.as_mut().poll(cx).map(|()| None)
    })
    .await
}

/// For what has its own, shortened timeout to answer the client.
const GRACE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    async fn request(due: Option<Duration>, takes: Duration) -> Option<&'static str> {
        DUE.scope(
            Cell::new(None),
            cut_when_due(async {
                tokio::time::sleep(Duration::from_millis(1)).await;
                set(due.map(|due| Instant::now() + due));
                tokio::time::sleep(takes).await;
                "done"
            }),
        )
        .await
    }

    #[tokio::test(start_paused = true)]
    async fn cuts_a_request_once_it_is_due() {
        let second = Duration::from_secs(1);
        assert_eq!(request(Some(5 * second), 4 * second).await, Some("done"));
        let began = Instant::now();
        assert_eq!(request(Some(5 * second), 60 * second).await, None);
        assert!(began.elapsed() < 7 * second);
        assert_eq!(request(None, 600 * second).await, Some("done"));
    }

    #[tokio::test(start_paused = true)]
    async fn lets_a_request_go_on_whose_end_was_lifted() {
        let done = DUE.scope(
            Cell::new(None),
            cut_when_due(async {
                set(Some(Instant::now() + Duration::from_secs(5)));
                tokio::time::sleep(Duration::from_secs(1)).await;
                set(None);
                tokio::time::sleep(Duration::from_secs(60)).await;
            }),
        );
        assert!(done.await.is_some());
    }
}
