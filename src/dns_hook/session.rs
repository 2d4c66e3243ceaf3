//! At the proxy's socket: one request after the other, for as long as the proxy is there.
//!
//! Owns whom requests are taken from (SO_PEERCRED of unix(7)), that no two runs are for one name, and that nothing
//! is run for a proxy that has gone. Comes again when the proxy does.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fluxheim_trust::socket::Peers;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::program::Program;
use super::signals::Stop;
use crate::wire::hook::{Answer, FULL, GREETING, MOST_ASKED, Malformed, Request};

/// What is done, and for whom.
pub(super) struct Work {
    socket: PathBuf,
    peers: Peers,
    allow_uid: Option<u32>,
    zones: Vec<String>,
    program: Program,
    /// Of names that are at work, or wait for it.
    names: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
    /// What was last said of the proxy, so that it is said once.
    seen: Mutex<String>,
}

/// Why there is nobody to be asked by.
#[derive(Debug, thiserror::Error)]
enum Apart {
    #[error("it can't be reached: {0}; is the proxy up, with this socket in [acme.dns]?")]
    Unreachable(io::Error),
    #[error("user {0} listens there: neither this user, nor root, nor --allow-uid")]
    Stranger(u32),
    #[error("it does not let this user in: run this as the proxy's own user, or as root")]
    NotLetIn,
    #[error("it does not greet within {} s: is it stopped, or overloaded? its log may say", PATIENCE.as_secs())]
    Dumb,
    #[error("as many as it takes have come to it already: run fewer of this")]
    Full,
    #[error("it is no proxy of this version: let both be of one")]
    Greeting,
    #[error("it has hung up")]
    HungUp,
    #[error("what it asks is no request: {0}")]
    Malformed(Malformed),
    #[error("{0}")]
    Broken(io::Error),
}

/// Is asked by the proxy, again and again, until told to stop.
pub(super) async fn serve(work: Arc<Work>, mut stop: Stop) {
    while !*stop.borrow_and_update() {
        let apart = match work.connect().await {
            Ok(stream) => {
                work.say("connected", || tracing::info!("connected to the proxy"));
                work.session(stream, &mut stop).await.err()
            }
            Err(apart) => Some(apart),
        };
        let Some(apart) = apart else { return };
        let reason = apart.to_string();
        work.say(&reason, || {
            tracing::warn!(socket = %work.socket.display(), reason, "waiting for the proxy");
        });
        // Told to stop meanwhile, or not: both are looked at above.
        let _ = timeout(AGAIN, stop.changed()).await;
    }
}

impl Work {
    #[must_use]
    pub(super) fn new(socket: PathBuf, allow_uid: Option<u32>, zones: Vec<String>, program: Program) -> Self {
        Self {
            socket,
            peers: Peers::of_this_process(),
            allow_uid,
            zones,
            program,
            names: Mutex::default(),
            seen: Mutex::default(),
        }
    }

    /// Sees to orphans for as long as the process lives.
    pub(super) async fn reap_orphans(&self) {
        self.program.reap_orphans().await;
    }

    async fn connect(&self) -> Result<UnixStream, Apart> {
        let opened = timeout(PATIENCE, UnixStream::connect(&self.socket)).await;
        let stream = opened.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        let mut stream = stream.map_err(Apart::Unreachable)?;
        let uid = stream.peer_cred().map_err(Apart::Broken)?.uid();
        if !self.peers.admit(uid) && self.allow_uid != Some(uid) {
            return Err(Apart::Stranger(uid));
        }
        let mut greeting = [0; GREETING.len()];
        match timeout(PATIENCE, stream.read_exact(&mut greeting)).await {
            Ok(Ok(_)) if greeting == GREETING.as_bytes() => Ok(stream),
            Ok(Ok(_)) if greeting == FULL.as_bytes() => Err(Apart::Full),
            Ok(Ok(_)) => Err(Apart::Greeting),
            Ok(Err(_)) => Err(Apart::NotLetIn),
            Err(_) => Err(Apart::Dumb),
        }
    }

    /// Says so where something else was said last.
    fn say(&self, what: &str, tell: impl FnOnce()) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if *seen != what {
            what.clone_into(&mut seen);
            tell();
        }
    }

    /// `Ok` when told to stop.
    async fn session(&self, mut stream: UnixStream, stop: &mut Stop) -> Result<(), Apart> {
        loop {
            let line = tokio::select! {
                biased;
                () = told(stop) => return Ok(()),
                line = receive(&mut stream) => line?,
            };
            let answer = match Request::read(&line) {
                Ok(request) => self.answer(&request, &stream, stop).await?,
                Err(malformed) => {
                    let answer = Answer::Refused(malformed.to_string());
                    // It is hung up on in any case.
                    let _ = send(&mut stream, &answer).await;
                    return Err(Apart::Malformed(malformed));
                }
            };
            send(&mut stream, &answer).await?;
        }
    }

    async fn answer(&self, request: &Request, asker: &UnixStream, stop: &Stop) -> Result<Answer, Apart> {
        let within = self.zones.is_empty() || self.zones.iter().any(|zone| request.is_within(zone));
        if !within {
            let (verb, name, zones) = (request.verb().name(), request.name(), self.zones.join(", "));
            tracing::warn!(verb, name, zones, "asked for what is in none of --zone");
            return Ok(Answer::Refused(format!("{name} is in none of its zones: {zones} (--zone)")));
        }
        let turn = self.turn(request.name());
        let _turn = turn.lock().await;
        // Whoever has hung up while others of this name were at work may have had it taken back by now.
        if !is_there(asker) {
            return Err(Apart::HungUp);
        }
        let stopping = *stop.borrow();
        match stopping {
            true => Ok(Answer::Refused("it is about to stop".to_owned())),
            false => Ok(self.program.run(request).await),
        }
    }

    /// Held by one run for this name at a time, in the order in which they came.
    fn turn(&self, name: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.retain(|_, turn| Arc::strong_count(turn) > 1);
        Arc::clone(names.entry(name.to_owned()).or_default())
    }
}

async fn told(stop: &mut Stop) {
    // Nobody left to tell is told as well.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Who waits for an answer says nothing.
fn is_there(stream: &UnixStream) -> bool {
    matches!(stream.try_read(&mut [0]), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

/// One line, whenever it comes; what has begun has to end soon.
async fn receive(stream: &mut UnixStream) -> Result<Vec<u8>, Apart> {
    // Only a byte tells that it has begun: that there may be something to read is said of what was read before, too.
    let mut first = [0];
    if stream.read(&mut first).await.map_err(Apart::Broken)? == 0 {
        return Err(Apart::HungUp);
    }
    let rest = u64::try_from(MOST_ASKED - first.len()).unwrap_or(u64::MAX);
    let (mut line, mut reader) = (first.to_vec(), BufReader::new(stream.take(rest)));
    if first != *b"\n" {
        let read = timeout(PATIENCE, reader.read_until(b'\n', &mut line)).await;
        read.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(Apart::Broken)?;
    }
    match reader.buffer().is_empty() {
        true => Ok(line),
        false => Err(Apart::Malformed(Malformed::Line)),
    }
}

async fn send(stream: &mut UnixStream, answer: &Answer) -> Result<(), Apart> {
    let line = answer.line();
    let sent = timeout(PATIENCE, stream.write_all(line.as_bytes())).await;
    sent.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Apart::HungUp,
        _ => Apart::Broken(error),
    })
}

/// Between two tries to reach the proxy.
const AGAIN: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(5);
