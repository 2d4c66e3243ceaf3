//! A question over a Unix socket: one request, one answer, the end.
//!
//! Owns connecting and as much of HTTP/1.1 as the admin API speaks.

use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fluxheim_config::exit;
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, setsockopt, socket, sockopt};
use nix::sys::time::TimeVal;
use serde_json::Value;

/// A request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) method: &'static str,
    pub(super) path: String,
    pub(super) body: Option<Value>,
}

/// An answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    #[error("{}: there is no socket: is the proxy running, with this socket in [admin]?", .0.display())]
    Missing(PathBuf),
    #[error("{}: nobody listens on this socket: the proxy has ended", .0.display())]
    Dead(PathBuf),
    #[error("{}: permission denied: only the proxy's own user and root are let in (docker exec -u, sudo)", .0.display())]
    Denied(PathBuf),
    #[error("{}: the proxy does not answer: {source}", path.display())]
    Silent { path: PathBuf, source: io::Error },
    #[error("{}: the proxy closed the connection unheard: this user is neither its own nor root", .0.display())]
    Unheard(PathBuf),
    #[error("{}: this is no answer of the admin API", .0.display())]
    Nonsense(PathBuf),
    #[error("{}: {source}", path.display())]
    Other { path: PathBuf, source: io::Error },
}

impl AskError {
    pub(super) const fn exit_code(&self) -> u8 {
        match self {
            Self::Missing(_) | Self::Dead(_) | Self::Silent { .. } => exit::TRY_AGAIN,
            Self::Denied(_) | Self::Unheard(_) => exit::REFUSED,
            Self::Nonsense(_) | Self::Other { .. } => exit::INTERNAL,
        }
    }
}

pub(super) fn ask(path: &Path, asked: &Asked) -> Result<Reply, AskError> {
    let silent = |source| AskError::Silent { path: path.to_owned(), source };
    let mut stream = connected(path)?;
    match stream.write_all(&message(asked)) {
        // The answer may be there all the same.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(silent(error)),
        _ => {}
    }
    let mut bytes = Vec::new();
    match stream.take(MOST).read_to_end(&mut bytes) {
        Err(error) if error.kind() != io::ErrorKind::ConnectionReset => Err(silent(error)),
        _ if bytes.is_empty() => Err(AskError::Unheard(path.to_owned())),
        _ => reply(&bytes).ok_or_else(|| AskError::Nonsense(path.to_owned())),
    }
}

fn connected(path: &Path) -> Result<UnixStream, AskError> {
    let failed = |errno: Errno| match errno {
        Errno::ENOENT | Errno::ENOTDIR => AskError::Missing(path.to_owned()),
        Errno::ECONNREFUSED => AskError::Dead(path.to_owned()),
        Errno::EACCES | Errno::EPERM => AskError::Denied(path.to_owned()),
        Errno::EAGAIN => AskError::Silent { path: path.to_owned(), source: errno.into() },
        other => AskError::Other { path: path.to_owned(), source: other.into() },
    };
    let socket =
        socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).map_err(failed)?;
    // Holds for connecting too, which waits while the backlog is full (unix(7)).
    setsockopt(&socket, sockopt::SendTimeout, &TimeVal::new(SENDING.as_secs().cast_signed(), 0))
        .map_err(failed)?;
    connect(socket.as_raw_fd(), &UnixAddr::new(path).map_err(failed)?).map_err(failed)?;
    let stream = UnixStream::from(socket);
    let other = |source| AskError::Other { path: path.to_owned(), source };
    stream.set_read_timeout(Some(ANSWERING)).map_err(other)?;
    Ok(stream)
}

fn message(asked: &Asked) -> Vec<u8> {
    let Asked { method, path, body } = asked;
    let body = body.as_ref().map(super::body);
    let mut head = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\nConnection: close\r\n"
    );
    if let Some(body) = &body {
        head.push_str(&format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len()));
    }
    head.push_str("\r\n");
    let mut message = head.into_bytes();
    message.extend(body.into_iter().flatten());
    message
}

/// The status and the body, which must be whole.
fn reply(bytes: &[u8]) -> Option<Reply> {
    let mut fields = [httparse::EMPTY_HEADER; 32];
    let mut head = httparse::Response::new(&mut fields);
    let httparse::Status::Complete(end) = head.parse(bytes).ok()? else { return None };
    let length = head.headers.iter().find(|field| field.name.eq_ignore_ascii_case("content-length"))?;
    let length: usize = str::from_utf8(length.value).ok()?.parse().ok()?;
    let body = bytes.get(end..end.checked_add(length)?)?.to_vec();
    Some(Reply { status: head.code?, body })
}

/// For connecting and for sending a request.
const SENDING: Duration = Duration::from_secs(5);
/// A little longer than the proxy lets any operation take.
const ANSWERING: Duration = Duration::from_secs(130);
/// Far more than the servers of any configuration take.
const MOST: u64 = 64 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_whole_answers_only() {
        let whole = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{}\n";
        assert_eq!(reply(whole), Some(Reply { status: 200, body: b"{}\n".to_vec() }));
        for cut in 0..whole.len() {
            assert_eq!(reply(&whole[..cut]), None, "{cut}");
        }
        assert_eq!(reply(b"220 mail.test ESMTP\r\n"), None);
        assert_eq!(reply(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n"), None);
    }
}
