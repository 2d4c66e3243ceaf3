//! Who is let in, and what becomes of a request.
//!
//! Owns the accept loop, the peer's credentials (SO_PEERCRED of unix(7)), the audit line and the count of every
//! request. An operation that has begun goes on whatever becomes of its client.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fluxheim_trust::socket::Peers;
use http::StatusCode;
use tokio::net::unix::UCred;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::answer::Answer;
use super::body::Call;
use super::exchange;
use super::operations::{Acme, Operations, Refusal};
use super::request::Request;
use super::routes::{self, Endpoint, Miss};
use super::seen::{Certificates, Upstreams};
use crate::telemetry::Telemetry;

/// The admin API on its socket.
pub struct Server {
    listener: UnixListener,
    peers: Peers,
    shared: Arc<Shared>,
    slots: Arc<Semaphore>,
}

/// What requests share.
struct Shared {
    operations: Arc<dyn Operations>,
    telemetry: Arc<Telemetry>,
}

/// For waiting until every client has its answer.
#[derive(Debug, Clone)]
pub struct Handle(Arc<Semaphore>);

impl Handle {
    /// Returns when no client is being answered, or has been for too long.
    pub async fn answered(&self) {
        let all = u32::try_from(CLIENTS).unwrap_or(u32::MAX);
        let _ = timeout(LAST_ANSWERS, self.0.acquire_many(all)).await;
    }
}

impl Server {
    /// Answers on `listener`, which does not block, by `operations`. Must run inside the runtime.
    ///
    /// # Errors
    /// When the runtime can't watch the socket.
    pub fn new(
        listener: std::os::unix::net::UnixListener,
        operations: Arc<dyn Operations>,
        telemetry: Arc<Telemetry>,
    ) -> io::Result<Self> {
        Ok(Self {
            listener: UnixListener::from_std(listener)?,
            peers: Peers::of_this_process(),
            shared: Arc::new(Shared { operations, telemetry }),
            slots: Arc::new(Semaphore::new(CLIENTS)),
        })
    }

    /// For the end.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle(Arc::clone(&self.slots))
    }

    /// Accepts for as long as the process lives.
    pub async fn run(self) {
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => self.take(stream),
                Err(error) => {
                    self.shared.telemetry.metrics.accept_errors.inc();
                    tracing::warn!(%error, "accept failed on the admin socket");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn take(&self, stream: UnixStream) {
        let metrics = &self.shared.telemetry.metrics;
        let peer = match stream.peer_cred() {
            Ok(peer) if self.peers.admit(peer.uid()) => Peer::from(peer),
            Ok(peer) => {
                let Peer { uid, pid } = peer.into();
                tracing::warn!(target: AUDIT, uid, pid, "admin connection refused: not the proxy's own user, nor root");
                return metrics.admin_refused("peer");
            }
            Err(error) => {
                tracing::warn!(target: AUDIT, %error, "admin connection refused: nothing tells whose it is");
                return metrics.admin_refused("peer");
            }
        };
        let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() else {
            metrics.admin_refused("busy");
            let answer =
                Answer::refused(StatusCode::SERVICE_UNAVAILABLE, "too many admin connections at once");
            // It fits into the socket's buffer, and nobody waits for those who don't read.
            let _ = stream.try_write(&answer.bytes(false));
            return;
        };
        let shared = Arc::clone(&self.shared);
        tokio::spawn(async move {
            serve(stream, peer, shared).await;
            drop(slot);
        });
    }
}

/// Whoever connected, as the kernel knows them.
#[derive(Debug, Clone, Copy)]
struct Peer {
    uid: u32,
    /// 0 for one in another pid namespace.
    pid: i32,
}

impl From<UCred> for Peer {
    fn from(seen: UCred) -> Self {
        Self { uid: seen.uid(), pid: seen.pid().unwrap_or(0) }
    }
}

async fn serve(mut stream: UnixStream, peer: Peer, shared: Arc<Shared>) {
    let answer = match exchange::receive(&mut stream).await {
        Ok(None) => return,
        Ok(Some((request, body))) => {
            let to_head = request.method == "HEAD";
            perform(peer, request, body, shared).await.bytes(to_head)
        }
        Err(answer) => {
            shared.audit(peer, NOTHING, "", &answer, Instant::now());
            answer.bytes(false)
        }
    };
    exchange::send(&mut stream, &answer).await;
}

async fn perform(peer: Peer, request: Request, body: Vec<u8>, shared: Arc<Shared>) -> Answer {
    let begun = Instant::now();
    let (endpoint, call) = match call(&request, &body) {
        Ok(found) => found,
        Err(answer) => {
            shared.audit(peer, NOTHING, &request.path, &answer, begun);
            return answer;
        }
    };
    let work = tokio::spawn(async move {
        let answer = run(&*shared.operations, call).await.unwrap_or_else(Answer::from);
        shared.audit(peer, endpoint.name, &request.path, &answer, begun);
        answer
    });
    match timeout(LONGEST, work).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => Answer::refused(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
        Err(_) => {
            let detail = "this takes long and goes on: the log will tell what came of it";
            Answer::refused(StatusCode::GATEWAY_TIMEOUT, detail)
        }
    }
}

fn call(request: &Request, body: &[u8]) -> Result<(&'static Endpoint, Call), Answer> {
    let found = routes::find(&request.method, &request.path);
    let (endpoint, names) = found.map_err(|miss| match miss {
        Miss::Path => {
            Answer::refused(StatusCode::NOT_FOUND, "no operation has this path; GET /v1/status is one")
        }
        Miss::Method(method) => Answer::only(method),
    })?;
    Ok((endpoint, Call::read(endpoint, names, request, body)?))
}

async fn run(operations: &dyn Operations, call: Call) -> Result<Answer, Refusal> {
    let fine = StatusCode::OK;
    Ok(match call {
        Call::Status => Answer::of(fine, &operations.status()),
        Call::Upstreams => Answer::of(fine, &Upstreams { upstreams: operations.upstreams() }),
        Call::SetServer { upstream, server, state } => {
            Answer::of(fine, &operations.set_server(&upstream, &server, state)?)
        }
        Call::Reload => Answer::of(fine, &operations.reload().await?),
        Call::Drain => Answer::of(StatusCode::ACCEPTED, &operations.drain()),
        Call::Posture => Answer::of(fine, &operations.posture()),
        Call::Certificates => Answer::of(fine, &Certificates { certificates: operations.certificates() }),
        Call::Renew(name) => Answer::of(fine, &acme(operations)?.renew(&name).await?),
        Call::Revoke(name, reason) => Answer::of(fine, &acme(operations)?.revoke(&name, reason).await?),
        Call::Rollover(issuer) => Answer::of(fine, &acme(operations)?.rollover(issuer.as_deref()).await?),
        Call::Deactivate(issuer) => Answer::of(fine, &acme(operations)?.deactivate(issuer.as_deref()).await?),
    })
}

fn acme(operations: &dyn Operations) -> Result<&dyn Acme, Refusal> {
    operations.acme().ok_or_else(|| Refusal::NotFound("no certificate comes from an ACME issuer".to_owned()))
}

impl Shared {
    /// A line for every request, and a count.
    fn audit(&self, peer: Peer, operation: &'static str, path: &str, answer: &Answer, begun: Instant) {
        let Peer { uid, pid } = peer;
        let (status, took) = (answer.status.as_u16(), begun.elapsed().as_secs_f64());
        self.telemetry.metrics.admin_request(operation, status);
        match &answer.detail {
            None => tracing::info!(target: AUDIT, operation, path, uid, pid, status, took, "admin request"),
            Some(detail) => {
                tracing::warn!(target: AUDIT, operation, path, uid, pid, status, took, detail, "admin request refused");
            }
        }
    }
}

/// Lines that are written whatever `logging.level` says.
const AUDIT: &str = crate::telemetry::diagnostics::AUDIT;
/// The operation of a request that leads to none.
const NOTHING: &str = "-";
/// Operators and their scripts, some of them waiting for a reload.
const CLIENTS: usize = 32;
/// Longer than a reload may take, or a certificate from an issuer that is slow.
const LONGEST: Duration = Duration::from_secs(120);
const LAST_ANSWERS: Duration = Duration::from_millis(300);
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests;
