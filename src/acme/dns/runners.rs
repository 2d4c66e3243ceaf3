//! Those who run a program for us: they come to a socket that was made before this process was confined, and wait
//! there to be asked. It could neither start a program nor connect to anybody who does.
//!
//! Owns who is let in (SO_PEERCRED of unix(7)), and that each is asked one thing at a time.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fluxheim_trust::socket::Peers;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::error::HookError;
use crate::wire::hook::{Answer, FULL, GREETING, MOST_ANSWERED, Malformed, Request};

/// Those who wait to be asked.
#[derive(Debug, Clone)]
pub struct Runners(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    peers: Peers,
    pool: Mutex<Pool>,
    /// Told when somebody has come, or is free again.
    came: Notify,
}

#[derive(Debug, Default)]
struct Pool {
    waiting: Vec<UnixStream>,
    /// How many are at work.
    busy: usize,
}

impl Runners {
    /// Lets them in at `listener`, which does not block, for as long as the process lives. Must run inside the
    /// runtime.
    ///
    /// # Errors
    /// When the runtime can't watch the socket.
    pub fn at(path: &Path, listener: std::os::unix::net::UnixListener) -> io::Result<Self> {
        let listener = UnixListener::from_std(listener)?;
        let shared = Arc::new(Shared {
            path: path.to_owned(),
            peers: Peers::of_this_process(),
            pool: Mutex::default(),
            came: Notify::new(),
        });
        tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self(shared))
    }

    /// Asks one of them, and waits for its answer. One who has gone without a word may have been about to go, and
    /// another one is asked, once: what is asked for can be done twice.
    ///
    /// # Errors
    /// [`HookError`]: it is not known to be done. It may be done nevertheless, or be done later.
    pub(super) async fn ask(&self, request: &Request, patience: Duration) -> Result<(), HookError> {
        let end = Instant::now() + patience;
        match self.ask_one(request, end, patience).await {
            Err(HookError::Gone(first)) => {
                let again = self.ask_one(request, end, patience).await;
                // Whatever the other one says: the first may have done it.
                again.map_err(|error| HookError::HungUp(format!("{first}; another one was asked: {error}")))
            }
            told => told,
        }
    }

    async fn ask_one(&self, request: &Request, end: Instant, patience: Duration) -> Result<(), HookError> {
        let mut runner = self.free(end, patience).await?;
        let said = match timeout_at(end, exchange(&mut runner.0, request)).await {
            Ok(said) => said.map_err(hung_up)?,
            Err(_) => return Err(HookError::Silent(patience)),
        };
        let answer = Answer::read(&said).map_err(HookError::Nonsense)?;
        runner.stays();
        match answer {
            Answer::Done => Ok(()),
            Answer::Failed(why) => Err(HookError::Failed(why)),
            Answer::Refused(why) => Err(HookError::Refused(why)),
        }
    }

    /// Somebody who waits, as soon as there is one.
    async fn free(&self, end: Instant, patience: Duration) -> Result<Runner, HookError> {
        let mut idle = None;
        loop {
            let mut came = std::pin::pin!(self.0.came.notified());
            // From here on it is heard.
            came.as_mut().enable();
            let busy = match self.0.take() {
                Ok(stream) => return Ok(Runner(Some(stream), Arc::clone(&self.0))),
                Err(busy) => busy,
            };
            // Whoever is at work comes back; where there is nobody, one may be starting.
            let since = *idle.get_or_insert_with(Instant::now);
            if busy {
                idle = None;
            }
            let end = if busy { end } else { end.min(since + COMING) };
            if timeout_at(end, came).await.is_err() {
                return Err(match busy {
                    true => HookError::Busy(patience),
                    false => HookError::Nobody { path: self.0.path.clone(), waited: since.elapsed() },
                });
            }
        }
    }
}

/// Somebody who is asked; whoever does not stay is hung up on.
struct Runner(Option<UnixStream>, Arc<Shared>);

impl Runner {
    fn stays(&mut self) {
        self.1.pool().waiting.extend(self.0.take());
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        self.1.pool().busy -= 1;
        self.1.came.notify_waiters();
    }
}

/// Of a broken pipe, or an end where an answer would begin.
fn hung_up(error: io::Error) -> HookError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => {
            HookError::Gone(error.to_string())
        }
        _ => HookError::HungUp(error.to_string()),
    }
}

async fn exchange(stream: &mut Option<UnixStream>, request: &Request) -> io::Result<Vec<u8>> {
    let stream = stream.as_mut().ok_or(io::ErrorKind::NotConnected)?;
    stream.write_all(request.line().as_bytes()).await?;
    let most = u64::try_from(MOST_ANSWERED).unwrap_or(u64::MAX);
    let (mut line, mut reader) = (Vec::new(), BufReader::new(stream.take(most)));
    reader.read_until(b'\n', &mut line).await?;
    match (line.is_empty(), reader.buffer().is_empty()) {
        (true, _) => Err(io::ErrorKind::UnexpectedEof.into()),
        (false, true) => Ok(line),
        (false, false) => Err(io::Error::other(Malformed::Line)),
    }
}

impl Shared {
    fn pool(&self) -> std::sync::MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody who waits and is still there; else whether anybody is at work.
    fn take(&self) -> Result<UnixStream, bool> {
        let mut pool = self.pool();
        pool.waiting.retain(is_there);
        let Some(stream) = pool.waiting.pop() else { return Err(pool.busy > 0) };
        pool.busy += 1;
        Ok(stream)
    }

    fn let_in(&self, stream: UnixStream) {
        match stream.peer_cred() {
            Ok(peer) if self.peers.admit(peer.uid()) => {}
            Ok(peer) => {
                let (uid, pid) = (peer.uid(), peer.pid().unwrap_or(0));
                tracing::warn!(uid, pid, "dns-hook turned away: not the proxy's own user, nor root");
                return;
            }
            Err(error) => {
                tracing::warn!(%error, "dns-hook turned away: nothing tells whose it is");
                return;
            }
        }
        let mut pool = self.pool();
        pool.waiting.retain(is_there);
        let has_room = pool.waiting.len() + pool.busy < MOST;
        let word = if has_room { GREETING } else { FULL };
        // A few bytes into an empty buffer: all of them, or the other end is gone.
        let is_told = matches!(stream.try_write(word.as_bytes()), Ok(sent) if sent == word.len());
        if has_room && is_told {
            pool.waiting.push(stream);
            drop(pool);
            self.came.notify_waiters();
        }
    }
}

/// Who waits says nothing; whoever does has hung up, or is somebody else.
fn is_there(stream: &UnixStream) -> bool {
    matches!(stream.try_read(&mut [0]), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

async fn accept(listener: UnixListener, shared: Arc<Shared>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => shared.let_in(stream),
            Err(error) => {
                tracing::warn!(%error, "accept failed on the socket of acme.dns");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// As many as there can be orders under way.
const MOST: usize = 64;
/// Several times what a runner waits between two tries.
const COMING: Duration = Duration::from_secs(5);
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests;
