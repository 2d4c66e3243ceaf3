//! How much memory clients can make the proxy take, from the limits that bound it.
//!
//! Owns the sum and what its parts are. It is of the worst case: every buffer full at once, every field as
//! small as costs most. Tests hold the running program against it.

use crate::Limits;

/// Bytes at the most, the kernel's own buffers apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// Of an HTTP/1.1 connection.
    pub http1: u64,
    /// Of an HTTP/2 connection, all its streams at work.
    pub http2: u64,
    /// Of a client, with as many connections and requests as it may have.
    pub client: u64,
    /// Of all connections.
    pub all: u64,
}

impl Limits {
    /// What these limits bound.
    #[must_use]
    pub fn memory(&self) -> Memory {
        let head = u64::try_from(self.max_header_size).unwrap_or(u64::MAX);
        let http1 = CONNECTION
            .saturating_add(head.saturating_mul(HTTP1_HEADS))
            .saturating_add(AHEAD)
            .saturating_add(BODIES);
        let stream = STREAM
            .saturating_add(head.saturating_mul(HTTP2_HEADS))
            .saturating_add(SEND_BUFFER)
            .saturating_add(BODIES);
        let idle = CONNECTION.saturating_add(AHEAD).saturating_add(head.saturating_mul(BLOCKS));
        let http2 = idle.saturating_add(stream.saturating_mul(u64::from(self.max_h2_streams)));
        let most = http1.max(http2);
        let times = |count: usize, bytes: u64| bytes.saturating_mul(u64::try_from(count).unwrap_or(u64::MAX));
        let connections = self.max_connections_per_client.min(self.max_connections);
        // A request takes no more over HTTP/1.1, whose connections have one at a time.
        let requests = times(connections, idle).saturating_add(times(self.max_requests_per_client, stream));
        Memory {
            http1,
            http2,
            client: requests.min(times(connections, most)),
            all: times(self.max_connections, most),
        }
    }
}

/// TLS in both directions, tasks, timers.
const CONNECTION: u64 = 128 << 10;
/// A head as the gate holds it, as the parser does, as it was parsed, and as it goes to the upstream.
const HTTP1_HEADS: u64 = 6;
/// What a client may send ahead: one read of the gate, or HTTP/2's window of a connection.
const AHEAD: u64 = 64 << 10;
/// A response body between upstream and client: what is read at once, and what is queued of it; and the
/// request body that is kept for another attempt.
const BODIES: u64 = 7 * (64 << 10);
/// A stream's own state: its task, its request, its connection to an upstream.
const STREAM: u64 = 64 << 10;
/// A field of one byte counts as 33 (RFC 9113 section 6.5.2) and takes up to eight times that in tables
/// that grow by doubling; once more in what goes to the upstream.
const HTTP2_HEADS: u64 = 12;
/// What waits to be sent on a stream.
const SEND_BUFFER: u64 = 64 << 10;
/// A header block as it comes, and the tables of HPACK.
const BLOCKS: u64 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_with_what_it_is_made_of_and_never_overflows() {
        let of = |change: fn(&mut Limits)| {
            let mut limits = Limits::default();
            change(&mut limits);
            limits.memory()
        };
        let default = of(|_| {});
        assert!(of(|limits| limits.max_header_size *= 2).http1 > default.http1);
        assert!(of(|limits| limits.max_h2_streams *= 2).http2 > default.http2);
        assert_eq!(of(|limits| limits.max_connections_per_client = 1).client, default.http2);
        assert_eq!(of(|limits| limits.max_connections = 3).all, 3 * default.http2);
        assert!(of(|limits| limits.max_requests_per_client /= 2).client < default.client);
        let unlimited = of(|limits| {
            limits.max_connections_per_client = usize::MAX;
            limits.max_requests_per_client = usize::MAX;
        });
        assert_eq!(unlimited.client, default.all);
        let most = of(|limits| {
            limits.max_header_size = usize::MAX;
            limits.max_connections = usize::MAX;
        });
        assert_eq!(most.all, u64::MAX);
    }
}
