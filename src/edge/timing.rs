//! When a request passed from stage to stage.
//!
//! Owns the marks; what they mean is in docs/logging.md. Reads the clock, decides nothing.

use std::time::{Duration, Instant};

/// The marks of one request.
#[derive(Debug, Clone, Copy, Default)]
pub struct Timing {
    permitted: Option<Instant>,
    attempt: Option<Instant>,
    connect: Option<Duration>,
    first_byte: Option<Instant>,
    status: Option<u16>,
    attempts: u32,
}

impl Timing {
    /// Every rule has agreed.
    pub fn permit(&mut self) {
        self.permitted = Some(Instant::now());
    }

    /// A server is to be asked, perhaps not the first one.
    pub fn attempt(&mut self) {
        self.attempt = Some(Instant::now());
        (self.connect, self.status) = (None, None);
        self.attempts += 1;
    }

    /// There is a connection to it, or there will be none.
    pub fn connected(&mut self) {
        self.connect = self.attempt.map(|began| began.elapsed());
    }

    /// The head of its response is there. Of several, as after a 103, the first has the time and the last
    /// the status.
    pub fn first_byte(&mut self, status: u16) {
        self.status = Some(status);
        self.first_byte.get_or_insert_with(Instant::now);
    }

    /// From the head to the permit.
    #[must_use]
    pub fn queue(&self, started: Instant) -> Option<Duration> {
        self.permitted.map(|permitted| permitted - started)
    }

    /// What the last connection took.
    #[must_use]
    pub const fn connect(&self) -> Option<Duration> {
        self.connect
    }

    /// From the head to the response's head.
    #[must_use]
    pub fn until_first_byte(&self, started: Instant) -> Option<Duration> {
        self.first_byte.map(|first_byte| first_byte - started)
    }

    /// From the last attempt to the response's head.
    #[must_use]
    pub fn upstream(&self) -> Option<Duration> {
        Some(self.first_byte?.saturating_duration_since(self.attempt?))
    }

    /// When the last attempt began.
    #[must_use]
    pub const fn last_attempt(&self) -> Option<Instant> {
        self.attempt
    }

    /// What the server answered.
    #[must_use]
    pub const fn status(&self) -> Option<u16> {
        self.status
    }

    /// How often a server was tried.
    #[must_use]
    pub const fn attempts(&self) -> Option<u32> {
        if self.attempts == 0 { None } else { Some(self.attempts) }
    }
}
