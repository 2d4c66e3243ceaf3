//! Asking another service whether a request may pass.
//!
//! Owns the question, the permits that are kept for a while, and what becomes of an answer: only a 2xx
//! lets anybody in (CVE-2026-54762 is a proxy that failed open). Denials are never kept: who logs in is in.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use http::header::HeaderName;
use http::{HeaderValue, Method, StatusCode, header};
use pingora::http::RequestHeader;
use pingora::proxy::Session;

use crate::edge::ask::Answer;
use crate::edge::cause::{Cause, Failure};
use crate::edge::ctx::{Ctx, Proven};
use crate::edge::gone;
use crate::edge::permit::Stop;
use crate::edge::respond::{self, Reply};
use crate::policy::forward::{self, Asked, Forward, Word};
use crate::policy::keyed::{Digest, DigestKey, NoRandomness};
use crate::rewrite::crumbs;
use crate::rewrite::forwarded::{self, Hop};

/// The permits that are kept.
#[derive(Debug)]
pub(super) struct Permits {
    key: DigestKey,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    permits: HashMap<Digest, (Instant, Proven)>,
    /// The oldest first; a digest may stand there after its permit has gone.
    order: VecDeque<(Digest, Instant)>,
}

impl Permits {
    /// # Errors
    /// The system has no randomness to give.
    pub(super) fn new() -> Result<Self, NoRandomness> {
        Ok(Self { key: DigestKey::random()?, kept: Mutex::default() })
    }

    fn find(&self, digest: &Digest, now: Instant) -> Option<Proven> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.permits.get(digest).filter(|(until, _)| now < *until).map(|(_, proven)| proven.clone())
    }

    fn keep(&self, digest: Digest, until: Instant, proven: Proven, now: Instant) {
        let size: usize = proven.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        if size > MOST_KEPT_BYTES {
            return;
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let Kept { permits, order } = &mut *kept;
        permits.insert(digest, (until, proven));
        order.push_back((digest, until));
        while order.len() > MOST_KEPT || order.front().is_some_and(|(_, until)| *until <= now) {
            let Some((oldest, until)) = order.pop_front() else { break };
            // Renewed since: it stands further back too.
            if permits.get(&oldest).is_some_and(|(renewed, _)| *renewed == until) {
                permits.remove(&oldest);
            }
        }
    }
}

/// What the upstream is told, if the service permits.
///
/// # Errors
/// The service's own answer where it denies, else 502, 503 or 504.
pub(super) async fn consult(session: &mut Session, ctx: &Ctx, rules: &Forward) -> Result<Proven, Stop> {
    let head = session.req_header();
    let (Some(conn), Some(admitted)) = (ctx.conn, ctx.admitted()) else {
        return Err(Reply::internal("a request that was not admitted").into());
    };
    let asked = Asked {
        client: conn.client,
        method: head.method.as_str(),
        host: admitted.host.as_str(),
        path: &admitted.path,
        query: head.uri.query(),
    };
    let hop = Hop { peer: conn.peer, scheme: conn.scheme, host: &admitted.host, port: conn.port };
    let trusted = &ctx.live.config.server.trusted_proxies;
    let told = forwarded::edits(&head.headers, hop, conn.client, trusted).set;
    let permits = ctx.live.permits();
    let digest = rules.digest(&permits.key, &head.headers, asked, &told);
    if let Some(proven) = digest.as_ref().and_then(|digest| permits.find(digest, Instant::now())) {
        return Ok(proven);
    }
    let pool = ctx.live.pools.get(rules.upstream).ok_or_else(|| Reply::internal("no such upstream"))?;
    let question = question(session, rules, asked, told)
        .map_err(|_| Reply::internal("a question that no head can hold"))?;
    let asking = ctx.live.asker().ask(pool, &question, forward::MOST_BYTES, rules.timeout);
    let answer = gone::unless_gone(session, asking).await.map_err(Stop::Gone)?;
    let answer = answer.map_err(|error| Reply::to(Failure::with(error.cause(), error.to_string())))?;
    match forward::word(answer.head.status) {
        Word::Permits => {
            let proven = rules.told(&answer.head.headers);
            if let (Some(digest), Some(ttl)) = (digest, rules.ttl()) {
                let now = Instant::now();
                permits.keep(digest, now + ttl, proven.clone(), now);
            }
            Ok(proven)
        }
        Word::Denies => Err(denial(answer)),
        Word::Nonsense => {
            let detail = format!("the service asked answered {}", answer.head.status.as_u16());
            Err(Reply::to(Failure::with(Cause::AuthFailed, detail)).into())
        }
    }
}

/// A request without a body, for a service that knows the words of Traefik and Caddy; `told` is what the
/// upstream is told of the client too.
fn question(
    session: &Session,
    rules: &Forward,
    asked: Asked<'_>,
    told: Vec<(HeaderName, String)>,
) -> pingora::Result<RequestHeader> {
    let mut question = RequestHeader::build(Method::GET, rules.path.as_bytes(), Some(16))?;
    for (name, value) in rules.sent(&session.req_header().headers) {
        question.append_header(name.clone(), value.clone())?;
    }
    if let Some(cookie) = crumbs::joined(&question.headers) {
        question.insert_header(header::COOKIE, cookie)?;
    }
    let target = asked.query.map_or_else(|| asked.path.to_owned(), |query| format!("{}?{query}", asked.path));
    for (name, value) in told {
        question.insert_header(name, value)?;
    }
    question.insert_header(header::HOST, asked.host)?;
    question.insert_header("x-forwarded-method", asked.method)?;
    question.insert_header("x-forwarded-uri", target)?;
    Ok(question)
}

/// The service's answer, with no more fields than the client needs of it.
fn denial(answer: Answer) -> Stop {
    let made = || -> pingora::Result<_> {
        let mut head = respond::head(answer.head.status)?;
        for name in &forward::PASSED_ON {
            for value in answer.head.headers.get_all(name) {
                head.append_header(name.clone(), value.clone())?;
            }
        }
        if !head.headers.contains_key(header::CACHE_CONTROL) {
            // It is an answer to this client alone.
            head.insert_header(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))?;
        }
        head.insert_header(header::CONTENT_LENGTH, answer.body.len())?;
        Ok(head)
    };
    let failure = Failure::from(match answer.head.status {
        StatusCode::FORBIDDEN => Cause::AuthForbidden,
        _ => Cause::AuthRequired,
    });
    match made() {
        Ok(head) => Stop::Denied(failure, Box::new(head), answer.body),
        Err(_) => Reply::internal("a head that was received and can't be sent").into(),
    }
}

/// Permits kept, over all routes.
const MOST_KEPT: usize = 10_000;
/// Fields of one of them; with the most of them, 40 MiB.
const MOST_KEPT_BYTES: usize = 4096;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn kept_permits_end_and_are_bounded() {
        let (permits, now) = (Permits::new().unwrap(), Instant::now());
        let digest = |n: usize| permits.key.digest([&n.to_be_bytes()[..]]);
        let ttl = Duration::from_secs(10);
        (0..MOST_KEPT + 10).for_each(|n| permits.keep(digest(n), now + ttl, Proven::new(), now));
        assert!(permits.find(&digest(9), now).is_none() && permits.find(&digest(10), now).is_some());
        assert!(permits.find(&digest(10), now + ttl).is_none());
        permits.keep(digest(20), now + ttl * 2, Proven::new(), now + ttl / 2);
        permits.keep(digest(0), now + ttl * 3, Proven::new(), now + ttl);
        let kept = permits.kept.lock().unwrap();
        assert_eq!((kept.permits.len(), kept.order.len()), (2, 2));
    }

    #[test]
    fn a_permit_with_more_than_a_few_fields_is_not_kept() {
        let (permits, now) = (Permits::new().unwrap(), Instant::now());
        let digest = permits.key.digest([&b"a"[..]]);
        let long = HeaderValue::from_bytes(&[b'x'; MOST_KEPT_BYTES]).unwrap();
        permits.keep(digest, now + Duration::from_secs(1), vec![(header::FROM, long)], now);
        assert!(permits.find(&digest, now).is_none());
    }
}
