//! What an HTTP/2 client may do to a connection beside asking for something (RFC 9113 section 10.5).
//!
//! Owns the counts, taken from the heads of frames in both directions; reads no header blocks. What the
//! framework's own HTTP/2 bounds (header lists, CONTINUATION of one block, empty and tiny DATA, streams at
//! once) is left to it. Here is what it does not bound: how often streams are reset, by the client
//! (CVE-2023-44487) or because of it (CVE-2025-8671); how many frames come that ask for nothing
//! (CVE-2019-9512, CVE-2019-9515, CVE-2024-27316); and how slowly a body comes. Pure: time is told by calls
//! of [`Watch::turn`].

mod frames;

use std::collections::HashMap;

use frames::{Frame, RESERVED, Reader};

/// What is allowed within [`WINDOW`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// Streams reset, beside as many as ended well.
    pub resets: u32,
    /// Frames that carry neither a request nor data, beside ten for each frame of data.
    pub control_frames: u32,
    /// Bytes a second that a body must bring until its response begins; `None` asks for none.
    pub min_body_rate: Option<u64>,
    /// Streams with a body on its way, at once; more than the framework allows to be open.
    pub bodies: usize,
}

/// Why a connection is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Flood {
    #[error("the client resets streams as fast as it opens them")]
    Resets,
    #[error("the client makes the server reset streams as fast as it opens them")]
    OwnResets,
    #[error("the client sends control frames that no data goes with")]
    ControlFrames,
    #[error("the client has more bodies on their way than it may have streams")]
    Bodies,
}

impl Flood {
    /// Every one, for tables.
    pub const ALL: [Self; 4] = [Self::Resets, Self::OwnResets, Self::ControlFrames, Self::Bodies];

    /// Its name in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Resets => "resets",
            Self::OwnResets => "server_resets",
            Self::ControlFrames => "control_frames",
            Self::Bodies => "bodies",
        }
    }
}

/// Counts of one connection.
#[derive(Debug)]
pub struct Watch {
    allowance: Allowance,
    received: Reader,
    sent: Reader,
    now: Counts,
    /// Whether a header block is open: nothing may stand between its frames.
    in_block: (bool, bool),
    last_stream: u32,
    bodies: HashMap<u32, Body>,
}

/// Within one window.
#[derive(Debug, Default, Clone, Copy)]
struct Counts {
    resets: u32,
    own_resets: u32,
    ended_well: u32,
    control: u32,
    data: u32,
}

/// A request body that has not ended, and whose response has not begun.
#[derive(Debug, Default, Clone, Copy)]
struct Body {
    /// Bytes of this window.
    came: u64,
    /// Bytes that the client was not yet given back to send more.
    owed: u64,
    /// Whether it has been on its way for a whole window.
    whole: bool,
    /// Whether the client may have had to wait in it.
    held_up: bool,
}

impl Watch {
    /// At the start of a connection, before the client's preface.
    #[must_use]
    pub fn new(allowance: Allowance) -> Self {
        Self {
            allowance,
            received: Reader::after(PREFACE),
            sent: Reader::default(),
            now: Counts::default(),
            in_block: (false, false),
            last_stream: 0,
            bodies: HashMap::new(),
        }
    }

    /// Takes in what came from the client.
    ///
    /// # Errors
    /// [`Flood`] when it is too much of something; nothing more must be read then.
    pub fn received(&mut self, mut bytes: &[u8]) -> Result<(), Flood> {
        while let Some((frame, rest)) = self.received.next(bytes) {
            bytes = rest;
            self.in_block.0 = opens_block(frame).unwrap_or(self.in_block.0);
            self.count_received(frame)?;
        }
        Ok(())
    }

    /// Takes in what was sent to the client.
    ///
    /// # Errors
    /// [`Flood`] when the client made too much of it necessary.
    pub fn sent(&mut self, mut bytes: &[u8]) -> Result<(), Flood> {
        while let Some((frame, rest)) = self.sent.next(bytes) {
            bytes = rest;
            self.in_block.1 = opens_block(frame).unwrap_or(self.in_block.1);
            self.count_sent(frame)?;
        }
        Ok(())
    }

    fn count_received(&mut self, frame: Frame) -> Result<(), Flood> {
        match frame.kind {
            DATA => {
                if frame.length > 0 {
                    self.now.data = self.now.data.saturating_add(1);
                }
                self.body_came(frame);
                Ok(())
            }
            HEADERS => {
                self.last_stream = self.last_stream.max(frame.stream);
                if frame.flags & END_STREAM != 0 {
                    self.bodies.remove(&frame.stream);
                    return Ok(());
                }
                if self.allowance.min_body_rate.is_none() {
                    return Ok(());
                }
                self.bodies.entry(frame.stream).or_default();
                if self.bodies.len() > self.allowance.bodies { Err(Flood::Bodies) } else { Ok(()) }
            }
            RST_STREAM => {
                self.bodies.remove(&frame.stream);
                self.now.resets = self.now.resets.saturating_add(1);
                self.within_resets(self.now.resets, Flood::Resets)
            }
            // PRIORITY, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION, and what is not known.
            _ => {
                self.now.control = self.now.control.saturating_add(1);
                let most = self
                    .now
                    .data
                    .saturating_mul(CONTROL_PER_DATA)
                    .saturating_add(self.allowance.control_frames);
                if self.now.control > most { Err(Flood::ControlFrames) } else { Ok(()) }
            }
        }
    }

    fn count_sent(&mut self, frame: Frame) -> Result<(), Flood> {
        match frame.kind {
            DATA | HEADERS => {
                if frame.kind == DATA && frame.length > 0 {
                    self.now.data = self.now.data.saturating_add(1);
                }
                self.bodies.remove(&frame.stream);
                if frame.flags & END_STREAM != 0 {
                    self.now.ended_well = self.now.ended_well.saturating_add(1);
                }
                Ok(())
            }
            RST_STREAM => {
                self.bodies.remove(&frame.stream);
                if !BLAMES_CLIENT.contains(&frame.word) {
                    return Ok(());
                }
                self.now.own_resets = self.now.own_resets.saturating_add(1);
                self.within_resets(self.now.own_resets, Flood::OwnResets)
            }
            WINDOW_UPDATE => {
                if let Some(body) = self.bodies.get_mut(&frame.stream) {
                    body.owed = body.owed.saturating_sub(u64::from(frame.word & !RESERVED));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    const fn within_resets(&self, count: u32, flood: Flood) -> Result<(), Flood> {
        let most = self.allowance.resets.saturating_add(self.now.ended_well);
        if count > most { Err(flood) } else { Ok(()) }
    }

    fn body_came(&mut self, frame: Frame) {
        if frame.flags & END_STREAM != 0 {
            self.bodies.remove(&frame.stream);
        } else if let Some(body) = self.bodies.get_mut(&frame.stream) {
            body.came = body.came.saturating_add(u64::from(frame.length));
            body.owed = body.owed.saturating_add(u64::from(frame.length));
            body.held_up |= body.owed >= HALF_WINDOW;
        }
    }

    /// Whether a body is on its way that is to be judged.
    #[must_use]
    pub fn awaits_body(&self) -> bool {
        !self.bodies.is_empty()
    }

    /// A window is over: the streams whose bodies came too slowly all through it, which are forgotten.
    pub fn turn(&mut self) -> Vec<u32> {
        self.now = Counts::default();
        let least = self.allowance.min_body_rate.map_or(0, |rate| rate.saturating_mul(WINDOW));
        let slow = |body: &Body| body.whole && !body.held_up && body.came < least;
        let mut stalled: Vec<_> =
            self.bodies.iter().filter(|(_, body)| slow(body)).map(|(stream, _)| *stream).collect();
        stalled.sort_unstable();
        self.bodies.retain(|_, body| !slow(body));
        for body in self.bodies.values_mut() {
            *body = Body { came: 0, whole: true, held_up: body.owed >= HALF_WINDOW, ..*body };
        }
        if self.bodies.is_empty() {
            self.bodies = HashMap::new();
        }
        stalled
    }

    /// Whether a frame of ours may stand here in what the client sends.
    #[must_use]
    pub const fn may_insert_received(&self) -> bool {
        self.received.between_frames() && !self.in_block.0
    }

    /// Whether a frame of ours may stand here in what is sent to the client.
    #[must_use]
    pub const fn may_insert_sent(&self) -> bool {
        self.sent.between_frames() && !self.in_block.1
    }

    /// A GOAWAY that tells the client to calm down (RFC 9113 sections 6.8 and 7).
    #[must_use]
    pub fn calm_down(&self) -> Vec<u8> {
        let mut frame = vec![0, 0, 8, GOAWAY, 0, 0, 0, 0, 0];
        frame.extend_from_slice(&self.last_stream.to_be_bytes());
        frame.extend_from_slice(&ENHANCE_YOUR_CALM.to_be_bytes());
        frame
    }
}

/// An `RST_STREAM` that gives up a stream (RFC 9113 section 6.4).
#[must_use]
pub fn reset(stream: u32) -> [u8; 13] {
    let [s0, s1, s2, s3] = stream.to_be_bytes();
    let [c0, c1, c2, c3] = CANCEL.to_be_bytes();
    [0, 0, 4, RST_STREAM, 0, s0, s1, s2, s3, c0, c1, c2, c3]
}

/// Whether a header block is open after `frame`; `None` where it has none.
const fn opens_block(frame: Frame) -> Option<bool> {
    match frame.kind {
        HEADERS | PUSH_PROMISE | CONTINUATION => Some(frame.flags & END_HEADERS == 0),
        _ => None,
    }
}

/// Seconds over which everything is counted.
pub const WINDOW: u64 = 10;

/// Bytes of `PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n`.
const PREFACE: u32 = 24;
/// Of a stream's receive window, 65535 bytes: what was read is given back by then, if not before.
const HALF_WINDOW: u64 = 32_767;
/// As Envoy allows for WINDOW_UPDATE; with PING after each of them a peer measures its path.
const CONTROL_PER_DATA: u32 = 10;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const PUSH_PROMISE: u8 = 5;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const CANCEL: u32 = 8;
const ENHANCE_YOUR_CALM: u32 = 11;
/// PROTOCOL_ERROR, FLOW_CONTROL_ERROR, STREAM_CLOSED, FRAME_SIZE_ERROR, REFUSED_STREAM.
const BLAMES_CLIENT: [u32; 5] = [1, 3, 5, 6, 7];

#[cfg(test)]
mod tests;
