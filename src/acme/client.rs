//! HTTPS towards CAs.
//!
//! Owns connections, their deadlines and bounds, and what is noted of answers that `instant-acme` keeps to
//! itself: `Retry-After`, the directory's `meta`, and challenges of kinds it does not know. Names are
//! resolved by hickory. Speaks HTTP/1.1 only: the requests of an order follow each other.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use hickory_resolver::TokioResolver;
use http::header::{HOST, HeaderValue, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, Request, Response, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use instant_acme::{BodyWrapper, BytesResponse, HttpClient};
use rustls_pki_types::ServerName;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::types::VERSION;

/// Why a CA gave no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClientError {
    #[error("{0} is no https URL")]
    Url(String),
    #[error("the name {name} does not resolve: {reason}")]
    Name { name: String, reason: String },
    #[error("{host} can't be reached: {source}")]
    Connect { host: String, source: io::Error },
    #[error("{host}: the TLS handshake failed: {source}; for a private CA name its root as ca_file")]
    Tls { host: String, source: io::Error },
    #[error("{host} does not answer within {}s", ANSWER.as_secs())]
    Slow { host: String },
    #[error("{host}: {source}")]
    Http { host: String, source: hyper::Error },
    #[error("{host}: its answer can't be read: {reason}")]
    Body { host: String, reason: String },
}

/// The way to one CA; cheap to clone.
#[derive(Clone)]
pub(super) struct Client(Arc<Inner>);

struct Inner {
    resolver: TokioResolver,
    connector: TlsConnector,
    /// Connections that wait for their next request, the freshest last.
    idle: Mutex<Vec<(String, Sender)>>,
    notes: Mutex<Notes>,
}

type Sender = SendRequest<Full<Bytes>>;

/// What answers said besides what `instant-acme` passes on.
#[derive(Debug, Default)]
struct Notes {
    directory: Value,
    /// Of DNS-PERSIST-01, by their URL; few, as they are dropped when they are asked for.
    challenges: Vec<(String, Value)>,
}

tokio::task_local! {
    /// Until when the CA asked the present piece of work to wait, if it did.
    static WAIT: std::cell::Cell<Option<SystemTime>>;
}

/// Does `work`, and tells until when the CA asked to wait meanwhile.
pub(super) async fn heeding<T>(work: impl Future<Output = T>) -> (T, Option<SystemTime>) {
    WAIT.scope(std::cell::Cell::new(None), async {
        let done = work.await;
        (done, WAIT.with(std::cell::Cell::get))
    })
    .await
}

impl Client {
    /// A client that believes the CAs of `tls`.
    #[must_use]
    pub(super) fn new(resolver: TokioResolver, tls: Arc<rustls::ClientConfig>) -> Self {
        Self(Arc::new(Inner {
            resolver,
            connector: TlsConnector::from(tls),
            idle: Mutex::default(),
            notes: Mutex::default(),
        }))
    }

    /// The `meta` of the directory, as far as it was fetched.
    #[must_use]
    pub(super) fn meta(&self) -> Value {
        self.0.notes().directory.get("meta").cloned().unwrap_or_default()
    }

    /// The address of `resource` by the directory.
    #[must_use]
    pub(super) fn directory(&self, resource: &str) -> Option<String> {
        self.0.notes().directory.get(resource)?.as_str().map(str::to_owned)
    }

    /// The challenge with that URL, as the CA wrote it, once.
    #[must_use]
    pub(super) fn challenge(&self, url: &str) -> Value {
        let mut notes = self.0.notes();
        let at = notes.challenges.iter().position(|(known, _)| known == url);
        at.map_or(Value::Null, |at| notes.challenges.swap_remove(at).1)
    }

    /// Sends one request and reads the whole answer.
    ///
    /// # Errors
    /// [`ClientError`]
    pub(super) async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response<Bytes>, ClientError> {
        let host = authority(request.uri())?;
        match timeout(ANSWER, self.0.send(&host, request)).await {
            Ok(answer) => answer,
            Err(_) => Err(ClientError::Slow { host }),
        }
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Client")
    }
}

impl HttpClient for Client {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, instant_acme::Error>> + Send>> {
        let client = self.clone();
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let Ok(body) = body.collect().await;
            let request = Request::from_parts(parts, Full::new(body.to_bytes()));
            match client.send(request).await {
                Ok(answer) => Ok(BytesResponse::from(answer.map(Full::new))),
                Err(error) => Err(instant_acme::Error::Other(Box::new(error))),
            }
        })
    }
}

impl Inner {
    fn notes(&self) -> std::sync::MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn send(
        &self,
        host: &str,
        mut request: Request<Full<Bytes>>,
    ) -> Result<Response<Bytes>, ClientError> {
        let failed = |source| ClientError::Http { host: host.to_owned(), source };
        let url = request.uri().clone();
        shape(&mut request, host)?;
        while let Some(mut sender) = self.idle_to(host) {
            if sender.ready().await.is_err() {
                continue;
            }
            match sender.try_send_request(request).await {
                Ok(answer) => return self.whole(host, &url, answer, sender).await,
                Err(mut error) => match error.take_message() {
                    // It never went out: another connection may take it.
                    Some(unsent) => request = unsent,
                    None => return Err(failed(error.into_error())),
                },
            }
        }
        let mut sender = self.dial(host, &url).await?;
        let answer = sender.send_request(request).await.map_err(failed)?;
        self.whole(host, &url, answer, sender).await
    }

    fn idle_to(&self, host: &str) -> Option<Sender> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|(_, sender)| !sender.is_closed());
        let at = idle.iter().rposition(|(to, _)| to == host)?;
        Some(idle.swap_remove(at).1)
    }

    async fn whole(
        &self,
        host: &str,
        url: &Uri,
        answer: Response<hyper::body::Incoming>,
        sender: Sender,
    ) -> Result<Response<Bytes>, ClientError> {
        let (parts, body) = answer.into_parts();
        let body = Limited::new(body, LONGEST)
            .collect()
            .await
            .map_err(|error| ClientError::Body { host: host.to_owned(), reason: error.to_string() })?;
        let body = body.to_bytes();
        self.note(url, &parts.headers, &body);
        if parts.status.as_u16() >= 400 {
            note_wait(&parts.headers);
        }
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < MOST_IDLE {
            idle.push((host.to_owned(), sender));
        }
        Ok(Response::from_parts(parts, body))
    }

    fn note(&self, url: &Uri, headers: &HeaderMap, body: &Bytes) {
        let json = headers
            .get(http::header::CONTENT_TYPE)
            .and_then(|kind| kind.to_str().ok())
            .is_some_and(|kind| kind.contains("json"));
        if !json {
            return;
        }
        let Ok(value) = serde_json::from_slice::<Value>(body) else { return };
        let mut notes = self.notes();
        if value.get("newNonce").is_some() && value.get("newOrder").is_some() {
            tracing::debug!(%url, "directory read");
            notes.directory = value;
            return;
        }
        for challenge in value.get("challenges").and_then(Value::as_array).into_iter().flatten() {
            let kind = challenge.get("type").and_then(Value::as_str);
            let (Some("dns-persist-01"), Some(url)) = (kind, challenge.get("url").and_then(Value::as_str))
            else {
                continue;
            };
            if notes.challenges.len() >= MOST_CHALLENGES {
                notes.challenges.remove(0);
            }
            notes.challenges.push((url.to_owned(), challenge.clone()));
        }
    }

    async fn dial(&self, host: &str, url: &Uri) -> Result<Sender, ClientError> {
        let connect = |source| ClientError::Connect { host: host.to_owned(), source };
        let tls = |source| ClientError::Tls { host: host.to_owned(), source };
        let name = url.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let addresses = self.addresses(name, url.port_u16().unwrap_or(443)).await?;
        let stream = first_that_answers(&addresses).await.map_err(connect)?;
        let server = ServerName::try_from(name.to_owned()).map_err(|_| ClientError::Url(url.to_string()))?;
        let late = || io::Error::from(io::ErrorKind::TimedOut);
        let secured = timeout(CONNECT, self.connector.connect(server, stream)).await;
        let secured = secured.map_err(|_| tls(late()))?.map_err(tls)?;
        let (sender, connection) = http1::handshake(TokioIo::new(secured))
            .await
            .map_err(|source| ClientError::Http { host: host.to_owned(), source })?;
        tokio::spawn(async move {
            // Ends with its sender, or with the other side; whoever asks next dials anew.
            let _ = connection.await;
        });
        Ok(sender)
    }

    async fn addresses(&self, name: &str, port: u16) -> Result<Vec<SocketAddr>, ClientError> {
        if let Ok(ip) = name.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(ip, port)]);
        }
        match self.resolver.lookup_ip(name).await {
            Ok(found) => Ok(found.iter().map(|ip| SocketAddr::new(ip, port)).collect()),
            Err(error) => Err(ClientError::Name { name: name.to_owned(), reason: error.to_string() }),
        }
    }
}

/// Host and port as the `Host` field has them.
fn authority(url: &Uri) -> Result<String, ClientError> {
    match (url.scheme_str(), url.authority()) {
        (Some("https"), Some(authority)) if !authority.as_str().contains('@') => {
            Ok(authority.as_str().to_owned())
        }
        _ => Err(ClientError::Url(url.to_string())),
    }
}

/// Origin form and the fields that every request has (RFC 9112 section 3.2.1, RFC 8555 section 6.1).
fn shape(request: &mut Request<Full<Bytes>>, host: &str) -> Result<(), ClientError> {
    let url = || ClientError::Url(host.to_owned());
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let path: Uri = path.parse().map_err(|_| url())?;
    *request.uri_mut() = path;
    let headers = request.headers_mut();
    headers.insert(HOST, HeaderValue::from_str(host).map_err(|_| url())?);
    let agent = format!("fluxheim/{VERSION} instant-acme");
    headers.insert(USER_AGENT, HeaderValue::from_str(&agent).map_err(|_| url())?);
    Ok(())
}

async fn first_that_answers(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut failed = io::Error::new(io::ErrorKind::NotFound, "it has no address");
    for address in addresses {
        match timeout(CONNECT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => failed = error,
            Err(_) => failed = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(failed)
}

/// RFC 9110 section 10.2.3, of answers that refuse.
fn note_wait(headers: &HeaderMap) {
    let Some(until) = headers.get(RETRY_AFTER).and_then(|value| retry_after(value, SystemTime::now())) else {
        return;
    };
    // Outside of `heeding` nobody asks.
    let _ = WAIT.try_with(|wait| wait.set(wait.get().max(Some(until))));
}

fn retry_after(value: &HeaderValue, now: SystemTime) -> Option<SystemTime> {
    let text = value.to_str().ok()?.trim();
    let until = match text.parse::<u64>() {
        Ok(seconds) => now + Duration::from_secs(seconds.min(LONGEST_WAIT.as_secs())),
        Err(_) => httpdate::parse_http_date(text).ok()?,
    };
    Some(until.min(now + LONGEST_WAIT))
}

/// A whole request, connecting included.
const ANSWER: Duration = Duration::from_secs(30);
/// One address, and one handshake.
const CONNECT: Duration = Duration::from_secs(10);
/// A chain has some ten thousand bytes.
const LONGEST: usize = 1 << 20;
const MOST_IDLE: usize = 16;
/// As many as there are orders at once, and their identifiers.
const MOST_CHALLENGES: usize = 256;
/// More than any rate limit asks for; a slip of a CA must not keep us from ever asking again.
const LONGEST_WAIT: Duration = Duration::from_secs(7 * 86_400);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_as_long_as_is_asked_but_not_for_ever() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        let read = |text| retry_after(&HeaderValue::from_static(text), now);
        assert_eq!(read("120"), Some(now + Duration::from_secs(120)));
        assert_eq!(read("Sun, 09 Sep 2001 01:47:40 GMT"), Some(now + Duration::from_secs(60)));
        assert_eq!(read("99999999999999"), Some(now + LONGEST_WAIT));
        assert_eq!(read("Fri, 31 Dec 9999 23:59:59 GMT"), Some(now + LONGEST_WAIT));
        assert_eq!(read("soon"), None);
    }

    #[test]
    fn asks_over_https_only() {
        let of = |url: &str| authority(&url.parse().unwrap()).ok();
        assert_eq!(of("https://ca.example:14000/dir").as_deref(), Some("ca.example:14000"));
        assert_eq!(of("https://[::1]:1/dir").as_deref(), Some("[::1]:1"));
        assert_eq!(of("http://ca.example/dir"), None);
        assert_eq!(of("https://u@ca.example/dir"), None);
    }
}
