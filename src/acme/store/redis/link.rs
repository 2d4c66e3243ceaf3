//! The connection to the server: made when it is needed, made anew when it broke.
//!
//! Owns the time limits, the back-off and the one log line when the server goes and the one when it is
//! back. A connection is used for one command at a time; one on which anything went wrong is dropped.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use fluxheim_trust::Secret;
use hickory_resolver::TokioResolver;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use zeroize::Zeroizing;

use super::resp::{self, Reply};
use crate::acme::store::StoreError;

/// Where the server is and as whom to speak to it.
pub struct Server {
    pub host: String,
    pub port: u16,
    /// What to believe of the server; `None` speaks in the clear.
    pub tls: Option<Arc<ClientConfig>>,
    pub username: Option<String>,
    pub password: Option<Secret>,
    pub database: u32,
    /// How long one command may take, the way there included.
    pub timeout: Duration,
    /// Finds the server's addresses.
    pub resolver: TokioResolver,
}

/// Why a command has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum LinkError {
    #[error("cannot resolve its name: {0}")]
    Name(String),
    #[error("cannot connect: {0}")]
    Connect(String),
    #[error("TLS: {0}")]
    Tls(String),
    #[error("the connection broke: {0}")]
    Broken(String),
    #[error("no answer within {0:?}")]
    Late(Duration),
    /// The server's own words, about a command that holds no secret.
    #[error("it refuses: {0}")]
    Refused(String),
    /// It lets nobody in. Its code alone: a server without such a command repeats the words, and with them the password.
    #[error("it refuses the user, the password or the database ({0})")]
    Greeting(String),
    #[error(transparent)]
    Malformed(#[from] resp::Malformed),
    #[error("{0}; tried again in a moment")]
    Waiting(String),
}

/// The way to a server.
pub(super) struct Link {
    server: Server,
    /// Taken out for as long as a command is under way: one that is given up leaves none behind.
    idle: Mutex<Option<Connection>>,
    up: AtomicBool,
    /// Attempts in a row that failed.
    failures: AtomicU64,
    rest: std::sync::Mutex<Option<Rest>>,
}

/// Until when nothing is tried, and why.
struct Rest {
    until: Instant,
    reason: String,
}

/// One connection, past its greetings.
pub(super) struct Connection {
    stream: Box<dyn Stream>,
    /// What came and was not read yet.
    received: Vec<u8>,
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

impl Link {
    pub(super) fn new(server: Server) -> Self {
        Self {
            server,
            idle: Mutex::new(None),
            up: AtomicBool::new(true),
            failures: AtomicU64::new(0),
            rest: std::sync::Mutex::default(),
        }
    }

    /// Whether the last command had an answer.
    pub(super) fn is_up(&self) -> bool {
        self.up.load(Ordering::Relaxed)
    }

    /// Sends a command and waits for the answer.
    pub(super) async fn ask(&self, words: &[&[u8]]) -> Result<Reply, LinkError> {
        let end = Instant::now() + self.server.timeout;
        let answer = timeout_at(end, self.ask_once(words)).await;
        let answer = answer.unwrap_or(Err(LinkError::Late(self.server.timeout)));
        self.note(answer.as_ref().err());
        answer
    }

    async fn ask_once(&self, words: &[&[u8]]) -> Result<Reply, LinkError> {
        let mut idle = self.idle.lock().await;
        if let Some(mut connection) = idle.take() {
            match connection.ask(words).await {
                // The server may have closed it while nobody looked; every command here may be sent twice.
                Err(LinkError::Broken(_)) => {}
                answer => {
                    *idle = connection.usable_after(&answer);
                    return answer;
                }
            }
        }
        let mut connection = self.connect().await?;
        let answer = connection.ask(words).await;
        *idle = connection.usable_after(&answer);
        answer
    }

    /// A connection of its own, for one who listens; within the time of a command.
    pub(super) async fn open(&self) -> Result<Connection, LinkError> {
        let end = Instant::now() + self.server.timeout;
        let opened = timeout_at(end, self.connect()).await;
        let opened = opened.unwrap_or(Err(LinkError::Late(self.server.timeout)));
        self.note(opened.as_ref().err());
        opened
    }

    async fn connect(&self) -> Result<Connection, LinkError> {
        self.rested()?;
        let stream = self.server.dial().await?;
        let mut connection = Connection { stream, received: Vec::new() };
        self.server.greet(&mut connection).await?;
        Ok(connection)
    }

    /// Whether it is time to try again.
    fn rested(&self) -> Result<(), LinkError> {
        let rest = self.rest.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match &*rest {
            Some(Rest { until, reason }) if Instant::now() < *until => {
                Err(LinkError::Waiting(reason.clone()))
            }
            _ => Ok(()),
        }
    }

    /// Remembers how it went, and says so when that is news.
    fn note(&self, error: Option<&LinkError>) {
        match error {
            None => {
                self.failures.store(0, Ordering::Relaxed);
                self.set_rest(None);
                if !self.up.swap(true, Ordering::Relaxed) {
                    tracing::info!(server = %self.server, "ACME storage: the server is back; renewals go on");
                }
            }
            // Nothing was tried, or the answer is about what was asked alone.
            Some(LinkError::Waiting(_)) => {}
            Some(LinkError::Refused(why)) if !is_about_the_server(why) => {}
            Some(error) => {
                let failures = self.failures.fetch_add(1, Ordering::Relaxed);
                let until = Instant::now() + pause(failures);
                self.set_rest(Some(Rest { until, reason: error.to_string() }));
                if self.up.swap(false, Ordering::Relaxed) {
                    tracing::error!(
                        server = %self.server,
                        %error,
                        "ACME storage: the server is out of reach; certificates are served on, renewals wait for it"
                    );
                }
            }
        }
    }

    fn set_rest(&self, rest: Option<Rest>) {
        *self.rest.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = rest;
    }

    /// As the engine is told.
    pub(super) fn unavailable(&self, error: &LinkError) -> StoreError {
        StoreError::Unavailable(format!("the server {}: {error}", self.server))
    }
}

/// Whether a server that answers so would answer anything else likewise: who asks may not, or it can't serve now.
fn is_about_the_server(error: &str) -> bool {
    let code = error.split(' ').next().unwrap_or_default();
    ABOUT_THE_SERVER.contains(&code)
}

/// A tenth of a second at first, ten in the end, never two replicas alike.
fn pause(failures: u64) -> Duration {
    let most = 100 << failures.min(7);
    Duration::from_millis(most / 2 + rand::random_range(0..=most / 2)).min(LONGEST_PAUSE)
}

/// A refusal before any command: it is about the server, whatever its words are.
fn greeted(error: LinkError) -> LinkError {
    match error {
        LinkError::Refused(words) => {
            let code = words.split(' ').next().filter(|code| GREETINGS.contains(code));
            LinkError::Greeting(code.unwrap_or("ERR").to_owned())
        }
        other => other,
    }
}

/// What servers answer to who comes in.
const GREETINGS: [&str; 7] = ["WRONGPASS", "NOAUTH", "NOPERM", "LOADING", "MASTERDOWN", "BUSY", "DENIED"];

impl Server {
    async fn dial(&self) -> Result<Box<dyn Stream>, LinkError> {
        let stream = self.reach().await?;
        // Commands are small, and each is waited for.
        stream.set_nodelay(true).map_err(|error| LinkError::Connect(error.to_string()))?;
        let Some(tls) = &self.tls else { return Ok(Box::new(stream)) };
        let name =
            ServerName::try_from(self.host.clone()).map_err(|error| LinkError::Tls(error.to_string()))?;
        let connected = TlsConnector::from(Arc::clone(tls)).connect(name, stream).await;
        connected
            .map(|stream| Box::new(stream) as Box<dyn Stream>)
            .map_err(|error| LinkError::Tls(error.to_string()))
    }

    /// Any of its addresses, the first that answers.
    async fn reach(&self) -> Result<TcpStream, LinkError> {
        let found = self.resolver.lookup_ip(self.host.as_str()).await;
        let found = found.map_err(|error| LinkError::Name(error.to_string()))?;
        let mut failed = LinkError::Name("no address".to_owned());
        for address in found.iter() {
            match TcpStream::connect((address, self.port)).await {
                Ok(stream) => return Ok(stream),
                Err(error) => failed = LinkError::Connect(format!("{address}:{}: {error}", self.port)),
            }
        }
        Err(failed)
    }

    async fn greet(&self, connection: &mut Connection) -> Result<(), LinkError> {
        if let Some(password) = &self.password {
            let password = password.as_bytes().trim_ascii_end();
            let words = match &self.username {
                Some(username) => vec![&b"AUTH"[..], username.as_bytes(), password],
                None => vec![&b"AUTH"[..], password],
            };
            connection.ask(&words).await.map_err(greeted)?;
        }
        if self.database != 0 {
            connection.ask(&[b"SELECT", self.database.to_string().as_bytes()]).await.map_err(greeted)?;
        }
        Ok(())
    }
}

/// `redis.internal:6379`
impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Link({}, up: {})", self.server, self.is_up())
    }
}

impl Connection {
    /// Sends a command and waits for the answer; an error that the server tells is one.
    pub(super) async fn ask(&mut self, words: &[&[u8]]) -> Result<Reply, LinkError> {
        self.send(words).await?;
        match self.receive().await? {
            Reply::Error(error) => Err(LinkError::Refused(error)),
            reply => Ok(reply),
        }
    }

    /// What the server refuses leaves the connection as it was; anything else leaves it in the middle.
    fn usable_after(self, answer: &Result<Reply, LinkError>) -> Option<Self> {
        matches!(answer, Ok(_) | Err(LinkError::Refused(_))).then_some(self)
    }

    pub(super) async fn send(&mut self, words: &[&[u8]]) -> Result<(), LinkError> {
        // A password may be among the words.
        let bytes = Zeroizing::new(resp::command(words));
        self.stream.write_all(&bytes).await.map_err(broken)?;
        self.stream.flush().await.map_err(broken)
    }

    /// The next reply. What is given up in the middle is gone on with by the next call.
    pub(super) async fn receive(&mut self) -> Result<Reply, LinkError> {
        loop {
            if let Some((reply, used)) = resp::parse(&self.received)? {
                self.received.drain(..used);
                return Ok(reply);
            }
            self.received.reserve(CHUNK);
            if self.stream.read_buf(&mut self.received).await.map_err(broken)? == 0 {
                return Err(LinkError::Broken("the server closed it".to_owned()));
            }
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "as `map_err` gives it")]
fn broken(error: std::io::Error) -> LinkError {
    LinkError::Broken(error.to_string())
}

const CHUNK: usize = 16 << 10;
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// Words that errors of servers begin with.
const ABOUT_THE_SERVER: [&str; 12] = [
    "BUSY",
    "CLUSTERDOWN",
    "LOADING",
    "MASTERDOWN",
    "MISCONF",
    "MOVED",
    "NOAUTH",
    "NOPERM",
    "NOREPLICAS",
    "OOM",
    "READONLY",
    "WRONGPASS",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_longer_from_failure_to_failure_and_never_for_ever() {
        let mut least = Duration::ZERO;
        for failures in 0..100 {
            let most = Duration::from_millis(100 << failures.min(7)).min(LONGEST_PAUSE);
            let pause = pause(failures);
            assert!(pause >= most / 2 && pause <= most, "{failures}: {pause:?}");
            least = least.max(pause);
        }
        assert!(least <= LONGEST_PAUSE);
    }

    #[test]
    fn tells_a_server_that_serves_nobody_from_one_bad_key() {
        for error in ["NOPERM this user has no permissions", "LOADING Redis is loading", "OOM"] {
            assert!(is_about_the_server(error), "{error}");
        }
        for error in ["WRONGTYPE Operation against a key", "ERR unknown command", ""] {
            assert!(!is_about_the_server(error), "{error}");
        }
    }
}
