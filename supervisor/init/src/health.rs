//! Asking a running init: liveness, readiness and the posture it was judged to have.
//!
//! Owns the socket's name and the messages; `door` is init's side, this file the asking side. An
//! abstract unix(7) socket needs no file and no writable path.

mod door;

use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use fluxheim_config::exit;
use fluxheim_posture::report::Colour;
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockType, UnixAddr, connect, getsockopt, recv, send, setsockopt,
    socket, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike};
use nix::unistd::geteuid;
use serde::{Deserialize, Serialize};

use crate::args::Format;
use crate::others::is_pid_1;
use crate::say;

pub(crate) use door::{Door, Stage};

/// What can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Question {
    Live,
    Ready,
    /// The asking side knows the stream its text goes to.
    Posture {
        coloured: bool,
    },
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    ok: bool,
    /// For people.
    text: String,
    /// The posture report's JSON form, when that was the question.
    #[serde(skip_serializing_if = "Option::is_none")]
    posture: Option<serde_json::Value>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum Silence {
    #[error(
        "no fluxheim-init runs here as PID 1 or with this configuration path ({0}); one started with --exec answers nobody"
    )]
    Absent(Errno),
    #[error("no answer within {} seconds", TIMEOUT.as_secs_f32())]
    Late,
    #[error("the socket belongs to uid {uid} in process {pid}, not to our init")]
    Impostor { uid: u32, pid: i32 },
    #[error("asking failed: {0}")]
    System(#[from] Errno),
    #[error("the answer can't be read: {0}")]
    Malformed(#[from] serde_json::Error),
    #[error("the answer is too long or empty")]
    Length,
}

/// `--health [--ready]`: one line, and 0 or 75.
pub(crate) fn ask(config: &Path, ready: bool) -> u8 {
    let question = if ready { Question::Ready } else { Question::Live };
    match converse(config, question) {
        Ok(answer) => {
            let printed = say::out(&answer.text);
            if answer.ok { printed } else { exit::TRY_AGAIN }
        }
        Err(silence) => {
            say::line(silence);
            exit::TRY_AGAIN
        }
    }
}

/// `--posture --running`: the report of the start, 0 when it was fine.
pub(crate) fn posture_of_running(config: &Path, format: Format) -> u8 {
    let coloured = say::colour(&std::io::stdout()) == Colour::On;
    let answer = match converse(config, Question::Posture { coloured }) {
        Ok(answer) => answer,
        Err(silence) => {
            say::line(silence);
            return exit::TRY_AGAIN;
        }
    };
    match (format, answer.posture) {
        (_, None) => {
            say::line(answer.text);
            exit::TRY_AGAIN
        }
        (Format::Text, Some(_)) => say::out(&answer.text),
        (Format::Json, Some(json)) => say::out(&json.to_string()),
    }
}

/// Asks PID 1 first, whatever its configuration is; then the instance with this configuration.
fn converse(config: &Path, question: Question) -> Result<Answer, Silence> {
    let end = Instant::now() + TIMEOUT;
    let first = converse_with(&Instance::First, question, end);
    if !matches!(first, Err(Silence::Absent(_) | Silence::Impostor { .. })) {
        return first;
    }
    match converse_with(&Instance::Configured(config), question, end) {
        Err(Silence::Absent(_)) => first,
        second => second,
    }
}

fn converse_with(instance: &Instance<'_>, question: Question, end: Instant) -> Result<Answer, Silence> {
    let socket = socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None)?;
    setsockopt(&socket, sockopt::SendTimeout, &TimeVal::milliseconds(TIMEOUT_MILLIS))?;
    connect(socket.as_raw_fd(), &address(instance)?).map_err(refused)?;
    check_peer(&socket, instance)?;
    send(socket.as_raw_fd(), &serde_json::to_vec(&question)?, MsgFlags::MSG_NOSIGNAL)?;
    let left = end.saturating_duration_since(Instant::now()).as_millis().max(1);
    let left = TimeVal::milliseconds(i64::try_from(left).unwrap_or(TIMEOUT_MILLIS));
    setsockopt(&socket, sockopt::ReceiveTimeout, &left)?;
    let mut buffer = vec![0; LONGEST];
    let length = recv(socket.as_raw_fd(), &mut buffer, MsgFlags::MSG_TRUNC).map_err(late)?;
    let bytes = buffer.get(..length).filter(|bytes| !bytes.is_empty()).ok_or(Silence::Length)?;
    Ok(serde_json::from_slice(bytes)?)
}

fn refused(errno: Errno) -> Silence {
    match errno {
        Errno::ECONNREFUSED | Errno::ENOENT => Silence::Absent(errno),
        other => late(other),
    }
}

fn late(errno: Errno) -> Silence {
    if errno == Errno::EAGAIN { Silence::Late } else { Silence::System(errno) }
}

/// Anyone in the network namespace can take the name first. Pid 0 is a process outside our pid
/// namespace, and another uid isn't our init; root asks an init that gave up root, too.
fn check_peer(socket: &OwnedFd, instance: &Instance<'_>) -> Result<(), Silence> {
    let peer = getsockopt(socket, sockopt::PeerCredentials)?;
    let own = geteuid();
    let ours = own.is_root() || peer.uid() == 0 || peer.uid() == own.as_raw();
    let place = match instance {
        Instance::First => peer.pid() == 1,
        Instance::Configured(_) => peer.pid() != 0,
    };
    if place && ours { Ok(()) } else { Err(Silence::Impostor { uid: peer.uid(), pid: peer.pid() }) }
}

/// Which fluxheim-init of these namespaces.
enum Instance<'a> {
    /// Their PID 1; there is only one.
    First,
    /// Any other one, by the path of its configuration.
    Configured(&'a Path),
}

impl<'a> Instance<'a> {
    /// This process itself.
    fn own(config: &'a Path) -> Self {
        if is_pid_1() { Self::First } else { Self::Configured(config) }
    }
}

/// The abstract name: the same for both sides of one container, another for any other instance
/// that shares the network namespace.
fn address(instance: &Instance<'_>) -> nix::Result<UnixAddr> {
    let inode = |path: &str| std::fs::metadata(path).map(|seen| seen.ino()).map_err(errno);
    let (pid, mount) = (inode("/proc/self/ns/pid")?, inode("/proc/self/ns/mnt")?);
    let which = match instance {
        Instance::First => "1".to_owned(),
        Instance::Configured(path) => format!("{:016x}", fnv_1a(path.as_os_str().as_bytes())),
    };
    UnixAddr::new_abstract(format!("fluxheim-init/{pid:x}/{mount:x}/{which}").as_bytes())
}

fn errno(error: std::io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

/// FNV-1a, 64 bits: a name, not a secret.
fn fnv_1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// Kubernetes' own default for probes is one second; Docker's thirty.
const TIMEOUT: Duration = Duration::from_millis(TIMEOUT_MILLIS.unsigned_abs());
const TIMEOUT_MILLIS: i64 = 900;

/// A posture report takes about 6 KiB.
const LONGEST: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_as_the_reference_does() {
        assert_eq!(fnv_1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv_1a(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv_1a(b"foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn two_configurations_have_two_names() {
        let name = |path| address(&Instance::Configured(Path::new(path))).unwrap();
        assert_eq!(name("/a"), name("/a"));
        assert_ne!(name("/a"), name("/b"));
    }

    #[test]
    fn nobody_listening_is_absence() {
        let silence = converse(Path::new("/no/such/config"), Question::Live).unwrap_err();
        assert!(matches!(silence, Silence::Absent(_)), "{silence}");
    }
}
