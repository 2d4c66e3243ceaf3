//! Telling a service manager how far the start or the stop is.
//!
//! Owns the socket that NOTIFY_SOCKET names and what didn't fit into it yet; never waits, and a
//! manager that is gone costs lines only. See sd_notify(3), unix(7).

use std::ffi::OsStr;
use std::io::{self, ErrorKind};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::{Duration, Instant};

use crate::say;

/// The line to the manager.
pub(crate) struct Notifier {
    socket: UnixDatagram,
    address: SocketAddr,
    /// What the manager's queue had no room for. A newer state takes its place.
    unsent: Option<Unsent>,
}

struct Unsent {
    state: String,
    again_at: Instant,
    attempts_left: u32,
}

impl Notifier {
    /// The line that the environment asks for, if it does; one it asks for in vain costs a line.
    pub(crate) fn from_environment() -> Option<Self> {
        let name = std::env::var_os(VARIABLE).filter(|name| !name.is_empty())?;
        Self::open(&name)
            .inspect_err(|why| say::line(format_args!("{VARIABLE}={name:?} gets no messages: {why}")))
            .ok()
    }

    fn open(name: &OsStr) -> io::Result<Self> {
        let address = address(name)?;
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket, address, unsent: None })
    }

    /// Sends `state`: lines such as `READY=1`.
    pub(crate) fn tell(&mut self, state: &str, now: Instant) {
        self.attempt(state.to_owned(), ATTEMPTS, now);
    }

    /// When [`Notifier::tick`] has something to do.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.unsent.as_ref().map(|unsent| unsent.again_at)
    }

    /// Time passed: what had no room may have it now.
    pub(crate) fn tick(&mut self, now: Instant) {
        if let Some(Unsent { state, attempts_left, .. }) =
            self.unsent.take_if(|unsent| unsent.again_at <= now)
        {
            self.attempt(state, attempts_left, now);
        }
    }

    fn attempt(&mut self, state: String, attempts_left: u32, now: Instant) {
        self.unsent = None;
        match self.socket.send_to_addr(state.as_bytes(), &self.address) {
            Ok(_) => {}
            Err(full) if full.kind() == ErrorKind::WouldBlock && attempts_left > 0 => {
                let (again_at, attempts_left) = (now + PAUSE, attempts_left - 1);
                self.unsent = Some(Unsent { state, again_at, attempts_left });
            }
            Err(why) => {
                let what = state.lines().next().unwrap_or_default();
                say::line(format_args!("the service manager doesn't get {what}: {why}"));
            }
        }
    }
}

fn address(name: &OsStr) -> io::Result<SocketAddr> {
    match name.as_bytes() {
        [b'@', rest @ ..] if !rest.is_empty() => SocketAddr::from_abstract_name(rest),
        [b'/', ..] => SocketAddr::from_pathname(name),
        bytes if bytes.starts_with(b"vsock") => {
            Err(io::Error::other("vsock isn't supported, unix sockets are"))
        }
        _ => Err(io::Error::other("neither an absolute path nor an @name")),
    }
}

/// Taken out of the proxy's environment: one process speaks for the service.
pub(crate) const VARIABLE: &str = "NOTIFY_SOCKET";

/// A manager that is busy for longer than these together is not listening.
const ATTEMPTS: u32 = 50;
const PAUSE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_paths_and_abstract_names_only() {
        assert_eq!(address(OsStr::new("/run/n")).unwrap().as_pathname().unwrap().to_str(), Some("/run/n"));
        assert_eq!(address(OsStr::new("@n")).unwrap().as_abstract_name(), Some(&b"n"[..]));
        assert!(address(OsStr::new("vsock:2:1234")).unwrap_err().to_string().contains("vsock"));
        for name in ["n", "@", "./n", &format!("/{}", "n".repeat(108))] {
            assert!(address(OsStr::new(name)).is_err(), "{name}");
        }
    }

    #[test]
    fn a_full_queue_delays_the_newest_state_and_holds_nobody_up() {
        let name = format!("fluxheim-notify-test-{}", std::process::id());
        let manager = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        let mut notifier = Notifier::open(OsStr::new(&format!("@{name}"))).unwrap();
        let now = Instant::now();
        while notifier.due().is_none() {
            notifier.tell("STATUS=filling", now);
        }
        notifier.tell("READY=1", now);
        assert_eq!(notifier.due(), Some(now + PAUSE));
        manager.set_nonblocking(true).unwrap();
        let mut buffer = [0; 64];
        while manager.recv(&mut buffer).is_ok() {}
        notifier.tick(now + PAUSE / 2);
        assert!(manager.recv(&mut buffer).is_err());
        notifier.tick(now + PAUSE);
        let length = manager.recv(&mut buffer).unwrap();
        assert_eq!((&buffer[..length], notifier.due()), (&b"READY=1"[..], None));
    }

    #[test]
    fn gives_up_on_a_manager_that_never_reads() {
        let name = format!("fluxheim-notify-deaf-{}", std::process::id());
        let _deaf = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        let mut notifier = Notifier::open(OsStr::new(&format!("@{name}"))).unwrap();
        let mut now = Instant::now();
        while notifier.due().is_none() {
            notifier.tell("STATUS=filling", now);
        }
        for _ in 0..ATTEMPTS {
            assert!(notifier.due().is_some());
            now += PAUSE;
            notifier.tick(now);
        }
        assert_eq!(notifier.due(), None);
    }
}
