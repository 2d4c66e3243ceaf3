//! Requests of our own to an upstream: small ones, whose whole answer is needed.
//!
//! Owns their bounds: a time for all of it, and most bytes of the answer (CVE-2026-26998 is a proxy that
//! had none). Addresses, connections and their rules are those of the upstream, as for any request to it.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use pingora::connectors::ConnectorOptions;
use pingora::connectors::http::Connector;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::http::client::HttpSession;
use pingora::server::configuration::ServerConf;
use pingora::upstreams::peer::HttpPeer;

use crate::edge::cause::Cause;
use crate::upstream::clock::Tick;
use crate::upstream::{NoServer, Pool};

/// Asks upstreams; keeps connections for the next question.
pub struct Asker(Connector);

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Question<'a> {
    pub(crate) head: &'a RequestHeader,
    /// Empty for none.
    pub(crate) body: &'a Bytes,
    /// Whether it changes nothing, and so may be asked twice.
    pub(crate) is_safe: bool,
}

/// What came back, in full.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) head: ResponseHeader,
    pub(crate) body: Bytes,
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AskError {
    #[error("its upstream has no address")]
    NoAddress,
    #[error("no server of its upstream could be connected to")]
    Connect,
    #[error("no server of its upstream may be used just now, or has room")]
    NoServer,
    #[error("its answer broke off, or is not HTTP")]
    Failed,
    #[error("its answer is longer than may be read")]
    TooLong,
    #[error("it did not answer in time")]
    Timeout,
}

impl AskError {
    /// What a request failed of that waited for the answer.
    pub(super) const fn cause(self) -> Cause {
        match self {
            Self::Timeout => Cause::AuthTimeout,
            Self::NoAddress | Self::Connect | Self::NoServer | Self::Failed | Self::TooLong => {
                Cause::AuthFailed
            }
        }
    }
}

impl From<NoServer> for AskError {
    fn from(none: NoServer) -> Self {
        match none {
            NoServer::NoAddress => Self::NoAddress,
            NoServer::Unusable | NoServer::Full | NoServer::QueueFull | NoServer::QueueTimeout => {
                Self::NoServer
            }
        }
    }
}

impl Asker {
    pub(super) fn new() -> Self {
        // Without a file the framework would read the system's authorities, which are out of our reach;
        // those of an upstream come with its peer.
        let conf = ServerConf { ca_file: Some("/dev/null".to_owned()), ..ServerConf::default() };
        let options =
            ConnectorOptions { keepalive_pool_size: KEPT, ..ConnectorOptions::from_server_conf(&conf) };
        Self(Connector::new(Some(options)))
    }

    /// The answer to a `GET`, of `most` bytes and `within` that time.
    ///
    /// # Errors
    /// As [`Asker::put`].
    pub(super) async fn ask(
        &self,
        pool: &Arc<Pool>,
        head: &RequestHeader,
        most: usize,
        within: Duration,
    ) -> Result<Answer, AskError> {
        self.put(pool, Question { head, body: &Bytes::new(), is_safe: true }, most, within).await
    }

    /// The answer to `question`, of `most` bytes and `within` that time.
    ///
    /// # Errors
    /// [`AskError`] when there is none that can be trusted to be whole.
    pub(crate) async fn put(
        &self,
        pool: &Arc<Pool>,
        question: Question<'_>,
        most: usize,
        within: Duration,
    ) -> Result<Answer, AskError> {
        tokio::time::timeout(within, self.attempts(pool, question, most))
            .await
            .map_err(|_| AskError::Timeout)?
    }

    /// The next server when one can't be connected to; the same question again when it went to a kept
    /// connection that was closing, if it may be asked twice.
    async fn attempts(
        &self,
        pool: &Arc<Pool>,
        question: Question<'_>,
        most: usize,
    ) -> Result<Answer, AskError> {
        let mut turn = pool.turn(None, None, 0);
        let (mut last, mut again, mut resent) = (None, 0, false);
        loop {
            let mut lease = match pool.acquire(&mut turn, resent).await {
                Ok(lease) => lease,
                Err(none) => return Err(last.unwrap_or_else(|| none.into())),
            };
            let peer = pool.link.peer(lease.address(), None, None);
            match self.0.get_http_session(&*peer).await {
                Err(_) => {
                    lease.failed(Tick::now());
                    last = Some(AskError::Connect);
                }
                Ok((session, reused)) => match self.exchange(pool, session, &peer, question, most).await {
                    Err(AskError::Failed) if reused && question.is_safe && again < MOST_KEPT_TRIED => {
                        // Not the server's fault, so it may be tried once more.
                        turn.forgive();
                        again += 1;
                        last = Some(AskError::Failed);
                    }
                    Ok(answer) => {
                        lease.answered(answer.head.status.as_u16(), Tick::now());
                        return Ok(answer);
                    }
                    Err(error) => {
                        lease.failed(Tick::now());
                        return Err(error);
                    }
                },
            }
            resent = true;
        }
    }

    async fn exchange(
        &self,
        pool: &Pool,
        mut session: HttpSession,
        peer: &HttpPeer,
        question: Question<'_>,
        most: usize,
    ) -> Result<Answer, AskError> {
        let failed = |_| AskError::Failed;
        let last = pool.link.use_once(session.digest()).map_err(failed)?;
        session.write_request_header(Box::new(question.head.clone())).await.map_err(failed)?;
        if !question.body.is_empty() {
            session.write_request_body(question.body.clone(), true).await.map_err(failed)?;
        }
        session.finish_request_body().await.map_err(failed)?;
        let head = loop {
            session.read_response_header().await.map_err(failed)?;
            let head = session.response_header().ok_or(AskError::Failed)?;
            if head.status == http::StatusCode::SWITCHING_PROTOCOLS {
                return Err(AskError::Failed);
            }
            if !head.status.is_informational() {
                break head.clone();
            }
        };
        let mut body = BytesMut::new();
        while let Some(part) = session.read_response_body().await.map_err(failed)? {
            if body.len() + part.len() > most {
                return Err(AskError::TooLong);
            }
            body.extend_from_slice(&part);
        }
        if !last {
            self.0.release_http_session(session, peer, peer.options.idle_timeout).await;
        }
        Ok(Answer { head, body: body.freeze() })
    }
}

impl std::fmt::Debug for Asker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Asker")
    }
}

/// Idle connections kept, over all upstreams.
const KEPT: usize = 128;
/// Kept connections that may turn out to be closed, for one question.
const MOST_KEPT_TRIED: usize = 3;
