//! The requests of an HTTP/1.1 connection, one after the other.
//!
//! Owns the wait before each of them. The framework would set up all that a request needs before it waits for
//! one, some 20 KiB for as long as the client is silent; here a connection that waits has little more than its
//! socket, and the framework is called once a request has begun.

use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use bytes::BytesMut;
use pingora::apps::{HttpPersistentSettings, HttpServerApp, ServerApp};
use pingora::prelude::sleep;
use pingora::protocols::http::ServerSession;
use pingora::protocols::{ALPN, Stream};
use pingora::server::ShutdownWatch;
use tokio::io::{AsyncRead, AsyncWriteExt as _, ReadBuf};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::{LAST_OPENINGS, gate};

/// An application whose connections wait here.
pub struct Turns<A> {
    app: Arc<A>,
    /// How long a connection may wait for its next request.
    keepalive: Box<dyn Fn() -> Duration + Send + Sync>,
    /// Whether none is waited for any more.
    over: watch::Sender<bool>,
}

impl<A: HttpServerApp + Send + Sync + 'static> Turns<A> {
    /// `keepalive` is asked before each wait but the first, which the stream itself ends
    /// ([`Patience::opening`](super::Patience::opening)).
    pub fn new(app: A, keepalive: impl Fn() -> Duration + Send + Sync + 'static) -> Self {
        Self { app: Arc::new(app), keepalive: Box::new(keepalive), over: watch::Sender::new(false) }
    }

    /// Ends connections that wait for a request, now and from now on; one that has just been opened is heard
    /// first. The framework need not know: it is never waited in.
    pub fn end_idle(&self) {
        self.over.send_replace(true);
    }

    /// Whichever comes first of what ends a wait in which nothing comes.
    async fn end(&self, over: &mut watch::Receiver<bool>, turn: &Turn) {
        let over = async {
            // The sender is ours.
            let _ = over.wait_for(|over| *over).await;
            if let Turn::First(opened) = turn {
                sleep_until(*opened + LAST_OPENINGS).await;
            }
        };
        match turn {
            Turn::First(_) => over.await,
            Turn::Next => tokio::select! {
                () = over => {}
                () = sleep(self.patience()) => {}
            },
        }
    }

    /// A connection that was kept before a reload forbade it was promised some time.
    fn patience(&self) -> Duration {
        match (self.keepalive)() {
            Duration::ZERO => LEAST_PATIENCE,
            patience => patience,
        }
    }

    /// Like the framework's own: what the last request left for the next, or how the first begins.
    fn session(
        &self,
        stream: Stream,
        kept: Option<HttpPersistentSettings>,
        shutdown: &ShutdownWatch,
    ) -> ServerSession {
        let mut session = ServerSession::new_http1(stream);
        if let Some(settings) = kept {
            settings.apply_to_session(&mut session);
            return session;
        }
        let stopping = *shutdown.borrow();
        session.set_keepalive((!stopping).then_some(FIRST_REST.as_secs()));
        let limit = self.app.server_options().and_then(|options| options.keepalive_request_limit);
        session.set_keepalive_reuses_remaining(limit);
        session
    }
}

#[async_trait]
impl<A: HttpServerApp + Send + Sync + 'static> ServerApp for Turns<A> {
    async fn process_new(self: &Arc<Self>, mut stream: Stream, shutdown: &ShutdownWatch) -> Option<Stream> {
        if matches!(stream.selected_alpn_proto(), Some(ALPN::H2)) {
            return self.app.process_new(stream, shutdown).await;
        }
        // Once for the connection: what all of them share is best not touched by each request.
        let mut over = self.over.subscribe();
        let (mut kept, mut turn) = (None, Turn::First(Instant::now()));
        loop {
            let begun = match begins(&mut stream, self.end(&mut over, &turn)).await {
                Wait::Begun(bytes) => bytes,
                Wait::Left => return None,
                Wait::Over => {
                    // Over TLS the client is told that this is no loss (RFC 8446 section 6.1).
                    let _ = tokio::time::timeout(GOODBYE, stream.shutdown()).await;
                    return None;
                }
            };
            let mut session = self.session(stream, kept, shutdown);
            // There is none yet: the gate hands on no byte of another request.
            session.set_pipelined_prefix(begun);
            (stream, kept) = self.app.process_new_http(session, shutdown).await?.consume();
            turn = Turn::Next;
        }
    }

    async fn cleanup(&self) {
        self.end_idle();
    }
}

/// Which request is waited for.
enum Turn {
    /// That of a connection that was opened then.
    First(Instant),
    Next,
}

/// What a wait came to.
enum Wait {
    /// The first bytes of a request.
    Begun(BytesMut),
    /// The client has closed, or what it sent was refused.
    Left,
    /// Nothing has come.
    Over,
}

/// Waits for a request. A head of which only a part has come is a request under way: `end` has no say over it,
/// and the gate times it.
async fn begins(stream: &mut Stream, end: impl Future<Output = ()>) -> Wait {
    let mut end = pin!(end);
    std::future::poll_fn(|cx| {
        if let Poll::Ready(first) = poll_first(stream, cx) {
            return Poll::Ready(first.map_or(Wait::Left, Wait::Begun));
        }
        if gate::has_begun(stream) {
            return Poll::Pending;
        }
        end.as_mut().poll(cx).map(|()| Wait::Over)
    })
    .await
}

/// Takes memory only once there is something to put in it.
fn poll_first(stream: &mut Stream, cx: &mut Context<'_>) -> Poll<Option<BytesMut>> {
    let mut space = [MaybeUninit::uninit(); FIRST];
    let mut read = ReadBuf::uninit(&mut space);
    let outcome = ready!(Pin::new(stream).poll_read(cx, &mut read));
    let begun = outcome.is_ok() && !read.filled().is_empty();
    Poll::Ready(begun.then(|| BytesMut::from(read.filled())))
}

/// Bytes that are read at a time, as the framework does.
const FIRST: usize = 4096;
/// Between two reads of the first head, where it comes in parts; the gate bounds it in all.
const FIRST_REST: Duration = Duration::from_secs(60);
const LEAST_PATIENCE: Duration = Duration::from_secs(1);
/// What a client that takes nothing more may still hold a connection for that is over.
const GOODBYE: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use pingora::apps::ReusedHttpStream;
    use tokio::io::{AsyncReadExt as _, DuplexStream, duplex};

    use super::*;

    /// Answers each request with the length of its head and body.
    struct Echo;

    #[async_trait]
    impl HttpServerApp for Echo {
        async fn process_new_http(
            self: &Arc<Self>,
            mut session: ServerSession,
            _: &ShutdownWatch,
        ) -> Option<ReusedHttpStream> {
            session.read_request().await.ok().filter(|read| *read)?;
            let mut len = session.req_header().uri.path().len();
            while let Some(part) = session.read_request_body().await.ok()? {
                len += part.len();
            }
            let text = len.to_string();
            let mut head = pingora::http::ResponseHeader::build(200, None).ok()?;
            head.insert_header("content-length", text.len().to_string()).ok()?;
            session.write_response_header(Box::new(head)).await.ok()?;
            session.write_response_body(text.into(), true).await.ok()?;
            let settings = HttpPersistentSettings::for_session(&session);
            session
                .finish()
                .await
                .ok()?
                .map(|stream| ReusedHttpStream::from_reusable_stream(stream, settings))
        }
    }

    fn connection(keepalive: Duration) -> (DuplexStream, Arc<Turns<Echo>>, tokio::task::JoinHandle<()>) {
        let (client, server) = duplex(64 << 10);
        let turns = Arc::new(Turns::new(Echo, move || keepalive));
        let served = Arc::clone(&turns);
        let task = tokio::spawn(async move {
            let (_stop, shutdown) = watch::channel(false);
            served.process_new(Box::new(server), &shutdown).await;
        });
        (client, turns, task)
    }

    async fn answer(client: &mut DuplexStream, request: &str) -> String {
        client.write_all(request.as_bytes()).await.unwrap();
        let mut got = Vec::new();
        while !got.windows(4).any(|end| end == b"\r\n\r\n") {
            got.push(client.read_u8().await.unwrap());
        }
        let head = String::from_utf8(got).unwrap();
        let len = head.split_once("ength: ").unwrap().1.split_once('\r').unwrap().0.parse().unwrap();
        let mut body = vec![0; len];
        client.read_exact(&mut body).await.unwrap();
        String::from_utf8(body).unwrap()
    }

    #[tokio::test]
    async fn serves_one_request_after_the_other_whatever_their_size() {
        let (mut client, turns, task) = connection(Duration::from_secs(60));
        assert_eq!(answer(&mut client, "GET /two HTTP/1.1\r\nHost: a\r\n\r\n").await, "4");
        let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(3 * FIRST));
        assert_eq!(answer(&mut client, &long).await, (3 * FIRST + 1).to_string());
        let body = "y".repeat(2 * FIRST);
        let post = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        assert_eq!(answer(&mut client, &post).await, (2 * FIRST + 1).to_string());
        turns.end_idle();
        task.await.unwrap();
        assert_eq!(client.read(&mut [0; 1]).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn waits_for_the_next_request_no_longer_than_it_may() {
        let (mut client, _turns, task) = connection(Duration::from_millis(300));
        assert_eq!(answer(&mut client, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await, "1");
        assert_eq!(client.read(&mut [0; 1]).await.unwrap(), 0);
        task.await.unwrap();
    }

    #[tokio::test]
    async fn ends_with_the_client_and_never_waits_once_it_is_over() {
        let (client, _turns, task) = connection(Duration::from_secs(60));
        drop(client);
        task.await.unwrap();
        let (_client, turns, task) = connection(Duration::from_secs(60));
        let began = Instant::now();
        turns.end_idle();
        task.await.unwrap();
        assert!(began.elapsed() < LAST_OPENINGS * 3);
    }

    #[tokio::test]
    async fn hears_a_connection_that_was_opened_a_moment_before_the_end() {
        let (mut client, turns, task) = connection(Duration::from_secs(60));
        turns.end_idle();
        tokio::time::sleep(LAST_OPENINGS / 4).await;
        assert_eq!(answer(&mut client, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await, "1");
        task.await.unwrap();
    }
}
