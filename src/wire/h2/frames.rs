//! Where HTTP/2 frames begin and end in a stream of bytes (RFC 9113 section 4.1).

/// A frame's head, and as much of its payload as anybody here reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) length: u32,
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
    /// The first 32 bits of the payload; 0 where there are fewer.
    pub(super) word: u32,
}

/// One direction of a connection.
#[derive(Debug, Default)]
pub(super) struct Reader {
    /// Bytes to pass over before the next head: a preface, or a payload.
    skip: u32,
    head: [u8; HEAD + WORD],
    have: usize,
}

impl Reader {
    /// A direction that begins with so many bytes that are no frame.
    pub(super) fn after(preface: u32) -> Self {
        Self { skip: preface, ..Self::default() }
    }

    /// Whether a frame of somebody else's would be read as one here.
    pub(super) const fn between_frames(&self) -> bool {
        self.skip == 0 && self.have == 0
    }

    /// The next frame whose beginning is complete, and the bytes behind what of it has been read; `None`
    /// when there are no more bytes.
    pub(super) fn next<'a>(&mut self, mut bytes: &'a [u8]) -> Option<(Frame, &'a [u8])> {
        loop {
            let passed = bytes.len().min(usize::try_from(self.skip).unwrap_or(usize::MAX));
            self.skip -= u32::try_from(passed).unwrap_or(self.skip);
            bytes = bytes.get(passed..).unwrap_or_default();
            let (first, rest) = bytes.split_first()?;
            if let Some(place) = self.head.get_mut(self.have) {
                *place = *first;
                self.have += 1;
            }
            bytes = rest;
            if let Some(frame) = self.complete() {
                return Some((frame, bytes));
            }
        }
    }

    fn complete(&mut self) -> Option<Frame> {
        if self.have < HEAD {
            return None;
        }
        let [l0, l1, l2, kind, flags, s0, s1, s2, s3, w0, w1, w2, w3] = self.head;
        let length = u32::from_be_bytes([0, l0, l1, l2]);
        let wanted = usize::try_from(length).unwrap_or(WORD).min(WORD);
        if self.have < HEAD + wanted {
            return None;
        }
        let word = if wanted == WORD { u32::from_be_bytes([w0, w1, w2, w3]) } else { 0 };
        let stream = u32::from_be_bytes([s0, s1, s2, s3]) & !RESERVED;
        self.have = 0;
        self.skip = length - u32::try_from(wanted).unwrap_or_default();
        Some(Frame { length, kind, flags, stream, word })
    }
}

/// Length, type, flags and stream.
const HEAD: usize = 9;
const WORD: usize = 4;
/// The first bit of stream numbers and of window increments.
pub(super) const RESERVED: u32 = 1 << 31;
