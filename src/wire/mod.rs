//! HTTP/1.1 request framing (RFC 9112), strictly: where heads and bodies end, and what is refused; of
//! HTTP/2, what floods a connection.
//!
//! Owns every rule that decides which bytes belong to which request, as a machine that is fed bytes and
//! says how many of them may pass. What readers could disagree on is a [`Violation`], never repaired. No
//! framework, no clock, no input or output in here: `listen` puts this in front of the framework's
//! parser, `tests/fuzz` feeds it anything. The PROXY protocol, which may stand in front, is in [`proxy`]; what `fluxheim dns-hook` is asked, in [`hook`].

mod bytes;
mod chunked;
mod fields;
pub mod h2;
mod head;
pub mod hook;
pub mod proxy;
mod violation;

use chunked::Chunks;
pub use fields::content_length;
use head::Head;
pub use head::{Facts, serves};
pub use violation::{ALLOW, Violation};

/// How large a head, and the trailers of a body, may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes, request line and line ends included.
    pub size: usize,
    /// Field lines.
    pub fields: usize,
}

/// What comes next on a connection, request after request.
#[derive(Debug)]
pub struct Framing {
    bounds: Bounds,
    state: State,
}

#[derive(Debug)]
enum State {
    Head(Head),
    /// So many bytes of a body with `Content-Length` are to come.
    Sized(u64),
    Chunked(Chunks),
}

/// What the bytes at hand amount to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// A head that is not complete: these bytes and more must be shown again.
    More,
    /// The first `len` bytes are a head.
    Head {
        /// With its empty line, and the one before it if there is one.
        len: usize,
        /// What it says of the connection and of what follows.
        facts: Facts,
    },
    /// So many bytes belong to the body, all that were given unless it ends there.
    Body(usize),
}

impl Framing {
    /// At the start of a connection.
    #[must_use]
    pub fn new(bounds: Bounds) -> Self {
        Self { bounds, state: State::Head(Head::default()) }
    }

    /// Whether no byte of the current request has passed: it is to begin, or its head is incomplete.
    #[must_use]
    pub const fn awaits_head(&self) -> bool {
        matches!(self.state, State::Head(_))
    }

    /// Method and target of the incomplete or refused head whose bytes these are, once its request line
    /// was found good.
    #[must_use]
    pub fn request_line<'a>(&self, held: &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
        match &self.state {
            State::Head(head) => head.request_line(held),
            State::Sized(_) | State::Chunked(_) => None,
        }
    }

    /// Takes in what has not passed yet, from its first byte on. What is said to pass must not be shown
    /// again; of a head, everything must until it is complete.
    ///
    /// # Errors
    /// A [`Violation`], after which nothing of this connection may pass any more.
    pub fn advance(&mut self, bytes: &[u8]) -> Result<Step, Violation> {
        match &mut self.state {
            State::Head(head) => {
                let Some((len, facts, body)) = head.advance(bytes, self.bounds)? else {
                    return Ok(Step::More);
                };
                self.state = match body {
                    Body::None | Body::Sized(0) => State::Head(Head::default()),
                    Body::Sized(length) => State::Sized(length),
                    Body::Chunked => State::Chunked(Chunks::new(self.bounds)),
                };
                Ok(Step::Head { len, facts })
            }
            State::Sized(left) => {
                let given = bytes.len() as u64;
                let taken = given.min(*left);
                *left -= taken;
                if *left == 0 {
                    self.state = State::Head(Head::default());
                }
                // No more than were given, so it fits.
                Ok(Step::Body(usize::try_from(taken).unwrap_or(bytes.len())))
            }
            State::Chunked(chunks) => {
                let (taken, done) = chunks.advance(bytes)?;
                if done {
                    self.state = State::Head(Head::default());
                }
                Ok(Step::Body(taken))
            }
        }
    }
}

/// How a request's body is framed (RFC 9112 section 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Body {
    None,
    Sized(u64),
    Chunked,
}

/// Whether these bytes are no more than the empty line that some clients send after a body: not the
/// beginning of a request (RFC 9112 section 2.2).
#[must_use]
pub fn is_filler(held: &[u8]) -> bool {
    matches!(held, b"" | b"\r" | b"\r\n")
}

#[cfg(test)]
mod tests;
