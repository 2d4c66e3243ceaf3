//! Trying out what confinement forbids, before and after: the only proof there is for some of it.
//!
//! Owns harmless attempts and what they answered; draws no conclusion.
#![expect(clippy::disallowed_methods, reason = "tries what must fail; nothing is read")]

use std::collections::BTreeSet;
use std::fmt;
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;
use std::path::Path;

use nix::errno::Errno as Os;
use nix::fcntl::{OFlag, open};
use nix::sys::signal::kill;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind as bind_socket, socket};
use nix::sys::stat::Mode;
use nix::unistd::getppid;
use serde::{Deserialize, Serialize};

use super::Reach;

/// One attempt, made before and after; the errno it met, or none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trial {
    pub what: String,
    pub before: Option<i32>,
    pub after: Option<i32>,
}

impl Trial {
    /// Whether it was possible and no longer is.
    pub(crate) fn is_confirmed(&self) -> bool {
        self.before.is_none() && self.after.is_some_and(|errno| DENIED.contains(&errno))
    }

    /// Whether it is still possible.
    pub(crate) fn is_contradicted(&self) -> bool {
        self.after.is_none()
    }
}

/// `opening /: EACCES`
impl fmt::Display for Trial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.after {
            None => write!(f, "{}: still possible", self.what),
            // Pid 1 of a container has no parent there.
            Some(errno) if self.before == self.after && errno == Os::ESRCH as i32 => {
                write!(f, "{}: nobody there to try it on", self.what)
            }
            Some(errno) if self.is_confirmed() => write!(f, "{}: {:?}", self.what, Os::from_raw(errno)),
            Some(errno) => write!(f, "{}: {:?}, and before too", self.what, Os::from_raw(errno)),
        }
    }
}

/// A folder outside `reach` that is most likely readable without confinement.
pub(super) fn foreign_folder(reach: &Reach) -> &'static str {
    let roots = || reach.files.keys().chain(reach.sockets.keys()).chain(reach.written.keys());
    let outside = |folder: &&str| !roots().any(|root| Path::new(folder).starts_with(root));
    let readable = |folder: &&str| open_folder(folder).is_none();
    CANDIDATES.into_iter().filter(outside).find(readable).unwrap_or("/")
}

/// A port outside `ports` that needs no privilege.
pub(super) fn foreign_port(ports: &BTreeSet<u16>) -> u16 {
    (1024..=u16::MAX).rev().find(|port| !ports.contains(port)).unwrap_or(u16::MAX)
}

pub(super) fn open_folder(folder: &str) -> Option<i32> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    open(folder, flags, Mode::empty()).err().map(|errno| errno as i32)
}

/// A socket that is bound and never listens, for the moment of the call.
pub(super) fn bind(port: u16) -> Option<i32> {
    let any = SockaddrIn::from(std::net::SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port));
    let bound = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)
        .and_then(|socket| bind_socket(socket.as_raw_fd(), &any));
    match bound {
        // Another program has it: without confinement it would be ours to ask for.
        Ok(()) | Err(Os::EADDRINUSE) => None,
        Err(errno) => Some(errno as i32),
    }
}

/// Signal 0, which only asks. The parent of a container's first process is none of ours: ESRCH.
pub(super) fn signal_parent() -> Option<i32> {
    let parent = getppid();
    // 0 and below would name groups.
    if parent.as_raw() < 1 {
        return Some(Os::ESRCH as i32);
    }
    kill(parent, None).err().map(|errno| errno as i32)
}

const CANDIDATES: [&str; 5] = ["/", "/dev", "/sys", "/run", "/srv"];

const DENIED: [i32; 2] = [Os::EACCES as i32, Os::EPERM as i32];

#[cfg(test)]
mod tests {
    use super::*;

    fn trial(before: Option<Os>, after: Option<Os>) -> Trial {
        let number = |errno: Option<Os>| errno.map(|errno| errno as i32);
        Trial { what: "opening /".into(), before: number(before), after: number(after) }
    }

    #[test]
    fn only_a_change_is_a_proof() {
        assert!(trial(None, Some(Os::EACCES)).is_confirmed());
        for odd in [trial(Some(Os::EACCES), Some(Os::EACCES)), trial(None, Some(Os::EIO)), trial(None, None)]
        {
            assert!(!odd.is_confirmed(), "{odd}");
        }
        assert!(trial(None, None).is_contradicted());
    }

    #[test]
    fn tries_what_is_outside() {
        let reach =
            Reach { files: [("/".into(), None)].into(), ports: [65535, 65534].into(), ..Reach::default() };
        assert_eq!(foreign_port(&reach.ports), 65533);
        assert_eq!(foreign_folder(&Reach::default()), "/");
    }
}
