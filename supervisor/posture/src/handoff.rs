//! The conversation between `fluxheim-init` and the proxy it started.
//!
//! Owns both ends of one unix(7) SOCK_SEQPACKET socketpair: one JSON message per packet, at most
//! [`MAX_MESSAGE`] bytes. Judges nothing: what a report means is for [`crate::judge`].

mod posture;

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

use nix::errno::Errno as Os;
use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockType, SockaddrLike, SockaddrStorage, getsockname, getsockopt,
    recv, send, socketpair, sockopt,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::apply::{Baseline, Failure};
use crate::judge::StorageSeen;
use crate::proxy::{ProxyReport, SCHEMA};
use crate::sys;

pub use posture::{ControlOutcome, Posture};

/// The environment variable that tells the proxy the number of its end.
pub const FD_VARIABLE: &str = "FLUXHEIM_HANDOFF_FD";

/// The largest packet either side accepts, in bytes.
pub const MAX_MESSAGE: usize = 64 * 1024;

/// What went wrong between the two ends.
#[derive(Debug, thiserror::Error)]
pub enum HandoffError {
    #[error(
        "{FD_VARIABLE}={value:?} is not usable: {why}; start the proxy through fluxheim-init, or unset it"
    )]
    BadVariable { value: String, why: String },
    #[error("the handoff was already taken by this process")]
    AlreadyTaken,
    #[error("handoff: {what}: {errno}")]
    Socket { what: &'static str, errno: Os },
    #[error("handoff: a message of {bytes} bytes is longer than the {MAX_MESSAGE} allowed")]
    TooLong { bytes: usize },
    #[error("handoff: a message can't be read ({0}); both programs must be of one version")]
    Malformed(#[from] serde_json::Error),
    #[error("handoff: the proxy speaks version {0} of the report; both programs must be of one version")]
    Version(u32),
    #[error("handoff: {0} arrived out of turn")]
    OutOfTurn(&'static str),
    #[error("handoff: the other side is gone")]
    Closed,
}

/// What init decided about the proxy's hardening.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Secrets may be opened now; this is what was found.
    Go(Posture),
    /// A required control doesn't hold: exit with 78, and open nothing. fluxheim-init kills such a
    /// proxy rather than say so; whoever else holds the other end may say it.
    Refused,
}

/// What the proxy says of itself when init asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProxyState {
    /// Listeners are bound and traffic is wanted.
    pub ready: bool,
    /// A stop was asked for; what is in flight is being finished.
    pub draining: bool,
    /// Open client connections.
    pub connections: u64,
    /// Requests being answered.
    pub in_flight: u64,
}

/// What init leaves to the proxy that it becomes (`--exec`): what it saw and did before, so that the
/// proxy can judge itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Legacy {
    /// [`SCHEMA`] of the sender.
    pub schema: u32,
    pub baseline: Baseline,
    pub failures: Vec<Failure>,
    pub storage: StorageSeen,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum ToProxy {
    Verdict(Verdict),
    Status { id: u64 },
    Legacy(Box<Legacy>),
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum ToInit {
    Report(Box<ProxyReport>),
    Ready,
    State { id: u64, state: ProxyState },
}

/// The proxy's end.
#[derive(Debug)]
pub struct ProxyEnd {
    socket: OwnedFd,
}

impl ProxyEnd {
    /// Takes over the descriptor that init left open, or `None` when init didn't start us.
    ///
    /// The descriptor is checked to be a seqpacket unix socket and won't survive a further exec.
    ///
    /// # Errors
    /// When the variable doesn't name such a descriptor, or this was called before.
    pub fn inherited() -> Result<Option<Self>, HandoffError> {
        let Some(value) = std::env::var_os(FD_VARIABLE) else { return Ok(None) };
        let value = value.to_string_lossy().into_owned();
        let bad = |why: String| HandoffError::BadVariable { value: value.clone(), why };
        let number = parse_number(&value).ok_or_else(|| bad("not a descriptor above 2".to_owned()))?;
        if TAKEN.swap(true, Ordering::SeqCst) {
            return Err(HandoffError::AlreadyTaken);
        }
        let socket = sys::adopt(number).map_err(|errno| bad(errno.to_string()))?;
        check_kind(&socket).map_err(bad)?;
        fcntl(&socket, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).map_err(|errno| bad(errno.to_string()))?;
        Ok(Some(Self { socket }))
    }

    /// What init left before it became this process; `None` when it is there and supervises.
    ///
    /// # Errors
    /// When what it left can't be read, or is of another version.
    pub fn legacy(&self) -> Result<Option<Box<Legacy>>, HandoffError> {
        match receive_with(&self.socket, MsgFlags::MSG_DONTWAIT)? {
            Packet::Message(ToProxy::Legacy(legacy)) if legacy.schema != SCHEMA => {
                Err(HandoffError::Version(legacy.schema))
            }
            Packet::Message(ToProxy::Legacy(legacy)) => Ok(Some(legacy)),
            Packet::Message(ToProxy::Verdict(_)) => Err(HandoffError::OutOfTurn("a verdict")),
            Packet::Message(ToProxy::Status { .. }) => Err(HandoffError::OutOfTurn("a status question")),
            Packet::Nothing => Ok(None),
            Packet::End => Err(HandoffError::Closed),
        }
    }

    /// Hands in the self report and waits for init's decision.
    ///
    /// # Errors
    /// When init is gone or answers with anything but a verdict; treat that as a refusal.
    pub fn submit(&self, report: &ProxyReport) -> Result<Verdict, HandoffError> {
        transmit(&self.socket, &ToInit::Report(Box::new(report.clone())))?;
        match receive(&self.socket)? {
            Packet::Message(ToProxy::Verdict(verdict)) => Ok(verdict),
            Packet::Message(ToProxy::Status { .. }) => Err(HandoffError::OutOfTurn("a status question")),
            Packet::Message(ToProxy::Legacy(_)) => Err(HandoffError::OutOfTurn("a legacy")),
            Packet::Nothing | Packet::End => Err(HandoffError::Closed),
        }
    }

    /// Tells init that the listeners are bound.
    ///
    /// # Errors
    /// When init is gone.
    pub fn ready(&self) -> Result<(), HandoffError> {
        transmit(&self.socket, &ToInit::Ready)
    }

    /// Answers init's questions until init is gone; for a thread of its own.
    ///
    /// # Errors
    /// On anything but a status question; init going away is not an error.
    pub fn serve(&self, state: impl Fn() -> ProxyState) -> Result<(), HandoffError> {
        loop {
            match receive(&self.socket) {
                Ok(Packet::Message(ToProxy::Status { id })) => {
                    match transmit(&self.socket, &ToInit::State { id, state: state() }) {
                        Err(HandoffError::Closed) => return Ok(()),
                        sent => sent?,
                    }
                }
                Ok(Packet::Message(ToProxy::Verdict(_))) => return Err(HandoffError::OutOfTurn("a verdict")),
                Ok(Packet::Message(ToProxy::Legacy(_))) => return Err(HandoffError::OutOfTurn("a legacy")),
                Ok(Packet::End | Packet::Nothing) | Err(HandoffError::Closed) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }
}

/// What init hears from the proxy.
#[derive(Debug)]
pub enum FromProxy {
    /// The self report; init owes a verdict.
    Report(Box<ProxyReport>),
    /// The listeners are bound.
    Ready,
    /// The answer to the question of that number.
    State { id: u64, state: ProxyState },
    /// The proxy closed its end, or ended.
    Gone,
}

/// Init's end; never blocks.
#[derive(Debug)]
pub struct InitEnd {
    socket: OwnedFd,
}

impl InitEnd {
    /// Makes the pair. Both descriptors are close-on-exec; the second is for the child, which
    /// clears that flag after fork.
    ///
    /// # Errors
    /// When the kernel gives no socketpair.
    pub fn pair() -> Result<(Self, OwnedFd), HandoffError> {
        let (ours, theirs) =
            socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)
                .map_err(|errno| HandoffError::Socket { what: "socketpair", errno })?;
        fcntl(&ours, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))
            .map_err(|errno| HandoffError::Socket { what: "O_NONBLOCK", errno })?;
        Ok((Self { socket: ours }, theirs))
    }

    /// The next message, or `None` when there is none right now.
    ///
    /// # Errors
    /// When a packet is too long or isn't a message this version knows.
    pub fn receive(&self) -> Result<Option<FromProxy>, HandoffError> {
        Ok(match receive(&self.socket)? {
            Packet::Nothing => None,
            Packet::End => Some(FromProxy::Gone),
            Packet::Message(ToInit::Report(report)) if report.schema != SCHEMA => {
                return Err(HandoffError::Version(report.schema));
            }
            Packet::Message(ToInit::Report(report)) => Some(FromProxy::Report(report)),
            Packet::Message(ToInit::Ready) => Some(FromProxy::Ready),
            Packet::Message(ToInit::State { id, state }) => Some(FromProxy::State { id, state }),
        })
    }

    /// Sends the verdict.
    ///
    /// # Errors
    /// When the proxy is gone.
    pub fn answer(&self, verdict: Verdict) -> Result<(), HandoffError> {
        transmit(&self.socket, &ToProxy::Verdict(verdict))
    }

    /// Leaves `legacy` for the proxy that this process becomes by exec.
    ///
    /// # Errors
    /// When it is too long.
    pub fn leave(&self, legacy: Legacy) -> Result<(), HandoffError> {
        transmit(&self.socket, &ToProxy::Legacy(Box::new(legacy)))
    }

    /// Asks for the proxy's state; the answer carries `id`.
    ///
    /// # Errors
    /// When the proxy is gone or its queue is full.
    pub fn ask(&self, id: u64) -> Result<(), HandoffError> {
        transmit(&self.socket, &ToProxy::Status { id })
    }
}

impl AsFd for InitEnd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// The number of the inherited descriptor, if the variable is set and well formed.
pub(crate) fn inherited_number() -> Option<RawFd> {
    parse_number(std::env::var_os(FD_VARIABLE)?.to_str()?)
}

fn parse_number(text: &str) -> Option<RawFd> {
    text.parse().ok().filter(|number| *number > 2)
}

fn check_kind(socket: &OwnedFd) -> Result<(), String> {
    match getsockopt(socket, sockopt::SockType) {
        Ok(SockType::SeqPacket) => {}
        Ok(other) => return Err(format!("a {other:?} socket, not a SeqPacket one")),
        Err(errno) => return Err(errno.to_string()),
    }
    let name: SockaddrStorage = getsockname(socket.as_raw_fd()).map_err(|errno| errno.to_string())?;
    match name.family() {
        Some(AddressFamily::Unix) => Ok(()),
        _ => Err("not a unix socket".to_owned()),
    }
}

enum Packet<T> {
    Message(T),
    Nothing,
    End,
}

fn transmit<T: Serialize>(socket: &OwnedFd, message: &T) -> Result<(), HandoffError> {
    let bytes = serde_json::to_vec(message)?;
    if bytes.len() > MAX_MESSAGE {
        return Err(HandoffError::TooLong { bytes: bytes.len() });
    }
    loop {
        match send(socket.as_raw_fd(), &bytes, MsgFlags::MSG_NOSIGNAL) {
            Ok(_) => return Ok(()),
            Err(Os::EINTR) => {}
            Err(Os::EPIPE | Os::ECONNRESET) => return Err(HandoffError::Closed),
            Err(errno) => return Err(HandoffError::Socket { what: "send", errno }),
        }
    }
}

fn receive<T: DeserializeOwned>(socket: &OwnedFd) -> Result<Packet<T>, HandoffError> {
    receive_with(socket, MsgFlags::empty())
}

fn receive_with<T: DeserializeOwned>(socket: &OwnedFd, flags: MsgFlags) -> Result<Packet<T>, HandoffError> {
    let mut buffer = vec![0; MAX_MESSAGE];
    let length = loop {
        // MSG_TRUNC makes the kernel return the packet's true length, so that a cut one shows.
        match recv(socket.as_raw_fd(), &mut buffer, flags | MsgFlags::MSG_TRUNC) {
            Ok(0) | Err(Os::ECONNRESET) => return Ok(Packet::End),
            Ok(length) => break length,
            Err(Os::EINTR) => {}
            Err(Os::EAGAIN) => return Ok(Packet::Nothing),
            Err(errno) => return Err(HandoffError::Socket { what: "recv", errno }),
        }
    };
    let bytes = buffer.get(..length).ok_or(HandoffError::TooLong { bytes: length })?;
    Ok(Packet::Message(serde_json::from_slice(bytes)?))
}

/// Two owners of one descriptor would close each other's files.
static TAKEN: AtomicBool = AtomicBool::new(false);

#[cfg(test)]
mod tests;
