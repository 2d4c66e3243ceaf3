//! What a request to switch protocols is answered with, seen in the bytes of the answer.
//!
//! Owns the reading of status lines (RFC 9112 section 4) as the framework writes them. A 100 or 103 may
//! come before the answer that counts (RFC 9110 section 15.2).

/// The answer as far as it has been written.
#[derive(Debug, Default)]
pub(super) struct Switch {
    line: [u8; START],
    seen: usize,
    /// How much of the empty line that ends an interim head has come.
    end: usize,
}

impl Switch {
    /// `Some` once it is known whether the connection is now of another protocol.
    pub(super) fn follow(&mut self, written: &[u8]) -> Option<bool> {
        for byte in written {
            if let Some(place) = self.line.get_mut(self.seen) {
                *place = *byte;
                self.seen += 1;
                if self.seen == START && !self.is_interim() {
                    // As the framework has it, which goes on with HTTP/1 otherwise.
                    return Some(self.line == *b"HTTP/1.1 101");
                }
            } else {
                self.skip(*byte);
            }
        }
        None
    }

    fn is_interim(&self) -> bool {
        let status = self.line.get(START - 4..).unwrap_or_default();
        status.starts_with(b" 1") && status != b" 101"
    }

    fn skip(&mut self, byte: u8) {
        self.end = match (self.end, byte) {
            (0 | 2, b'\r') | (1 | 3, b'\n') => self.end + 1,
            (_, b'\r') => 1,
            _ => 0,
        };
        if self.end == 4 {
            *self = Self::default();
        }
    }
}

/// Bytes of `HTTP/1.1 101`.
const START: usize = 12;

#[cfg(test)]
mod tests {
    use super::*;

    /// The same whole and byte by byte.
    fn answer(bytes: &str) -> Option<bool> {
        let whole = Switch::default().follow(bytes.as_bytes());
        let mut switch = Switch::default();
        let bitwise = bytes.as_bytes().chunks(1).find_map(|byte| switch.follow(byte));
        assert_eq!(whole, bitwise, "{bytes:?}");
        whole
    }

    #[test]
    fn finds_the_answer_that_counts() {
        assert_eq!(answer("HTTP/1.1 101 Switching Protocols\r\n\r\n"), Some(true));
        assert_eq!(answer("HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 101 x"), Some(false));
        assert_eq!(answer("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 101 x"), Some(true));
        assert_eq!(answer("HTTP/1.1 103 Hints\r\nLink: 101\r\nA: b\r\n\r\nHTTP/1.1 403 no"), Some(false));
        assert_eq!(answer("HTTP/1.0 101 Switching Protocols\r\n\r\n"), Some(false));
        assert_eq!(answer("HTTP/1.1 10"), None);
        assert_eq!(answer("HTTP/1.1 103 x\r\n"), None);
    }
}
