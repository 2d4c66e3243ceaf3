//! Init's side of the health socket: a few clients, each with a deadline, none of them waited for.
//!
//! Owns the listener and its clients; knows of the proxy only what it is told. Never blocks, so it
//! can't hold up signals or reaping.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use fluxheim_posture::Report;
use fluxheim_posture::handoff::ProxyState;
use fluxheim_posture::report::Colour;
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, Backlog, MsgFlags, SockFlag, SockType, accept4, bind, getsockopt, listen, recv, send,
    socket, sockopt,
};
use nix::unistd::geteuid;

use super::{Answer, Instance, LONGEST, Question, address};

/// How far the proxy is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// It hasn't said that its listeners are bound.
    Starting,
    /// It answers questions.
    Serving,
    /// It was asked to stop, or is gone.
    Stopping,
}

/// The listening socket and whoever came through it.
pub(crate) struct Door {
    listener: OwnedFd,
    clients: Vec<Client>,
    last_id: u64,
    posture: Option<Report>,
    /// Nobody is let in before that: accepting failed, and polling at once would spin.
    rests_until: Option<Instant>,
}

struct Client {
    socket: OwnedFd,
    until: Instant,
    /// The question under which the proxy was asked; `None` before the client said anything.
    waits: Option<(u64, Question)>,
}

impl Door {
    /// Opens the socket of this process, which has that configuration.
    ///
    /// # Errors
    /// EADDRINUSE when another process has the name.
    pub(crate) fn open(config: &Path) -> nix::Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let listener = socket(AddressFamily::Unix, SockType::SeqPacket, flags, None)?;
        bind(listener.as_raw_fd(), &address(&Instance::own(config))?)?;
        listen(&listener, Backlog::new(BACKLOG)?)?;
        Ok(Self { listener, clients: Vec::new(), last_id: 0, posture: None, rests_until: None })
    }

    /// Keeps the report for who asks.
    pub(crate) fn remember(&mut self, report: &Report) {
        self.posture = Some(report.clone());
    }

    /// What to poll for reading.
    pub(crate) fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let open = self.rests_until.is_none() && self.clients.len() < MOST_CLIENTS;
        let room = open.then_some(self.listener.as_fd());
        let silent = self.clients.iter().filter(|client| client.waits.is_none());
        room.into_iter().chain(silent.map(|client| client.socket.as_fd()))
    }

    /// When the next client's time, or our own rest, is over.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.clients.iter().map(|client| client.until).chain(self.rests_until).min()
    }

    /// Takes in clients and questions, answers what can be answered at once, and gives the numbers
    /// to ask the proxy under.
    pub(crate) fn serve(&mut self, stage: Stage, now: Instant) -> Vec<u64> {
        self.accept(now);
        let mut ask = Vec::new();
        let mut staying = Vec::new();
        for mut client in std::mem::take(&mut self.clients) {
            if client.waits.is_none() {
                match client.question() {
                    Heard::Nothing => {}
                    Heard::Nonsense => continue,
                    Heard::Question(question) => match self.at_once(question, stage) {
                        Some(answer) => {
                            client.answer(&answer);
                            continue;
                        }
                        None => {
                            self.last_id += 1;
                            client.waits = Some((self.last_id, question));
                            ask.push(self.last_id);
                        }
                    },
                }
            }
            staying.push(client);
        }
        self.clients = staying;
        ask
    }

    /// The proxy answered the question of that number.
    pub(crate) fn answered(&mut self, id: u64, state: ProxyState) {
        self.settle(id, |question| answer_of(question, state));
    }

    /// The proxy can't be asked.
    pub(crate) fn unanswered(&mut self, id: u64) {
        self.settle(id, |_| no("the proxy doesn't answer"));
    }

    /// Lets go of clients whose time is over.
    pub(crate) fn expire(&mut self, now: Instant) {
        self.clients.retain(|client| {
            let stays = now < client.until;
            if !stays && client.waits.is_some() {
                client.answer(&no("the proxy doesn't answer"));
            }
            stays
        });
    }

    fn accept(&mut self, now: Instant) {
        self.rests_until = self.rests_until.filter(|until| now < *until);
        for _ in 0..MOST_ACCEPTED {
            if self.rests_until.is_some() || self.clients.len() >= MOST_CLIENTS {
                return;
            }
            let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
            match accept4(self.listener.as_raw_fd(), flags) {
                Ok(number) => {
                    let socket = crate::sys::own(number);
                    if is_ours(&socket) {
                        self.clients.push(Client { socket, until: now + PATIENCE, waits: None });
                    }
                }
                Err(Errno::EAGAIN) => return,
                Err(Errno::EINTR | Errno::ECONNABORTED) => {}
                Err(_) => self.rests_until = Some(now + REST),
            }
        }
    }

    fn at_once(&self, question: Question, stage: Stage) -> Option<Answer> {
        match (question, stage) {
            (Question::Posture { coloured }, _) => Some(self.posture_answer(coloured)),
            (_, Stage::Serving) => None,
            (Question::Live, Stage::Starting) => Some(yes("alive: starting")),
            (Question::Live, Stage::Stopping) => Some(yes("alive: stopping")),
            (Question::Ready, Stage::Starting) => Some(no("not ready: starting")),
            (Question::Ready, Stage::Stopping) => Some(no("not ready: stopping")),
        }
    }

    fn posture_answer(&self, coloured: bool) -> Answer {
        let Some(report) = &self.posture else { return no("not judged yet") };
        let text = report.to_text(if coloured { Colour::On } else { Colour::Off });
        Answer { ok: report.is_ok(), text, posture: Some(report.to_json()) }
    }

    fn settle(&mut self, id: u64, answer: impl Fn(Question) -> Answer) {
        self.clients.retain(|client| match client.waits {
            Some((waits, question)) if waits == id => {
                client.answer(&answer(question));
                false
            }
            _ => true,
        });
    }
}

enum Heard {
    Nothing,
    Nonsense,
    Question(Question),
}

impl Client {
    fn question(&self) -> Heard {
        let mut buffer = [0; 64];
        match recv(self.socket.as_raw_fd(), &mut buffer, MsgFlags::MSG_TRUNC) {
            Err(Errno::EAGAIN | Errno::EINTR) => Heard::Nothing,
            Ok(length) => match buffer.get(..length).map(serde_json::from_slice) {
                Some(Ok(question)) => Heard::Question(question),
                _ => Heard::Nonsense,
            },
            Err(_) => Heard::Nonsense,
        }
    }

    /// A client that went away, or doesn't read, gets nothing.
    fn answer(&self, answer: &Answer) {
        let Ok(bytes) = serde_json::to_vec(answer) else { return };
        if bytes.len() <= LONGEST {
            let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
            let _ = send(self.socket.as_raw_fd(), &bytes, flags);
        }
    }
}

/// The report names paths, so only our own user and root may ask.
fn is_ours(socket: &OwnedFd) -> bool {
    getsockopt(socket, sockopt::PeerCredentials)
        .is_ok_and(|peer| peer.uid() == 0 || peer.uid() == geteuid().as_raw())
}

fn answer_of(question: Question, state: ProxyState) -> Answer {
    let ProxyState { ready, draining, connections, in_flight } = state;
    let load = format!("{connections} connections, {in_flight} requests in flight");
    match (question, ready, draining) {
        (Question::Live | Question::Posture { .. }, _, _) => yes(&format!("alive: {load}")),
        (Question::Ready, _, true) => no(&format!("not ready: draining, {load}")),
        (Question::Ready, true, false) => yes(&format!("ready: {load}")),
        (Question::Ready, false, false) => no(&format!("not ready: {load}")),
    }
}

fn yes(text: &str) -> Answer {
    Answer { ok: true, text: text.to_owned(), posture: None }
}

fn no(text: &str) -> Answer {
    Answer { ok: false, text: text.to_owned(), posture: None }
}

/// A probe asks once and leaves; more than a few at once is no probe.
const MOST_CLIENTS: usize = 8;
const BACKLOG: i32 = 16;

/// Descriptors ran out, most likely; the next probe comes in seconds.
const REST: Duration = Duration::from_secs(1);

/// Connections taken in one turn, strangers' included: a flood must not keep PID 1 from its signals.
const MOST_ACCEPTED: usize = 32;

/// Less than the asking side's own time, so that it hears why.
const PATIENCE: Duration = Duration::from_millis(700);
