//! Clients that leave while their requests wait for something: a place, a server, another service.
//!
//! Owns how that is noticed, so that a line of waiting requests is one of clients who still want an answer. A
//! connection that the client has closed, also if on its side only, counts as left, as it does while a response is
//! awaited from an upstream.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use pingora::protocols::http::ServerSession;
use pingora::proxy::Session;

use crate::edge::cause::{Cause, Failure};

/// The client has left; there is nobody to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Gone;

impl From<Gone> for Failure {
    fn from(_: Gone) -> Self {
        Cause::ClientGone.into()
    }
}

/// What `work` comes to, which is given up when the client leaves.
///
/// # Errors
/// [`Gone`] when it has.
pub(super) async fn unless_gone<T>(session: &mut Session, work: impl Future<Output = T>) -> Result<T, Gone> {
    let mut work = pin!(work);
    // Mostly there is nothing to wait for, and nobody to watch.
    if let Poll::Ready(done) = poll_fn(|cx| Poll::Ready(work.as_mut().poll(cx))).await {
        return Ok(done);
    }
    tokio::select! {
        biased;
        done = work => Ok(done),
        () = leaves(session) => Err(Gone),
    }
}

/// Until the client has reset its stream, or closed its connection.
async fn leaves(session: &mut Session) {
    if let ServerSession::H2(stream) = session.as_downstream_mut() {
        // Whichever way it ends.
        let _ = stream.idle().await;
        return;
    }
    loop {
        tokio::time::sleep(LOOK).await;
        if has_closed(session) {
            return;
        }
    }
}

/// Asked of the kernel, since what was not read yet, the rest of a body or another request, hides the end of a
/// connection from who reads.
fn has_closed(session: &Session) -> bool {
    let socket = session.digest().and_then(|digest| digest.socket_digest.as_ref());
    let state = socket.and_then(|socket| socket.tcp_info()).map(|info| info.tcpi_state);
    state.is_some_and(|state| state != ESTABLISHED)
}

/// `TCP_ESTABLISHED` of linux/tcp_states.h.
const ESTABLISHED: u8 = 1;

/// How often the kernel is asked; a request that is served at once never asks.
const LOOK: Duration = Duration::from_millis(100);
