//! One connection: a request in, an answer out, the end.
//!
//! Owns how long each may take and how much is read. `wire` judges the framing, as on every listener.

use std::time::Duration;

use http::StatusCode;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use super::answer::Answer;
use super::request::{self, FIELDS, Request};
use crate::wire::{Bounds, Framing, Step};

/// The request, with its body; `None` when the client left without one.
pub(super) async fn receive<S>(stream: &mut S) -> Result<Option<(Request, Vec<u8>)>, Answer>
where
    S: AsyncRead + Unpin,
{
    timeout(PATIENCE, whole(stream)).await.unwrap_or_else(|_| {
        Err(Answer::refused(StatusCode::REQUEST_TIMEOUT, "the request took too long to arrive"))
    })
}

async fn whole<S: AsyncRead + Unpin>(stream: &mut S) -> Result<Option<(Request, Vec<u8>)>, Answer> {
    let mut framing = Framing::new(Bounds { size: HEAD, fields: FIELDS });
    let mut bytes = Vec::new();
    let length = loop {
        match framing.advance(&bytes) {
            Ok(Step::Head { len, .. }) => break len,
            Ok(Step::More | Step::Body(_)) => {}
            Err(violation) => {
                let status = StatusCode::from_u16(violation.status()).unwrap_or(StatusCode::BAD_REQUEST);
                return Err(Answer::refused(status, violation.explanation()));
            }
        }
        if !more(stream, &mut bytes).await {
            let left = Answer::refused(StatusCode::BAD_REQUEST, "the request ends within its head");
            return if bytes.is_empty() { Ok(None) } else { Err(left) };
        }
    };
    let request = request::read(bytes.get(..length).unwrap_or_default())?;
    let end = length + request.length;
    while bytes.len() < end {
        if !more(stream, &mut bytes).await {
            return Err(Answer::refused(StatusCode::BAD_REQUEST, "the request ends within its body"));
        }
    }
    let body = bytes.get(length..end).unwrap_or_default().to_vec();
    Ok(Some((request, body)))
}

/// Whether anything came.
async fn more<S: AsyncRead + Unpin>(stream: &mut S, bytes: &mut Vec<u8>) -> bool {
    let mut room = [0; 1024];
    match stream.read(&mut room).await {
        Ok(read) if read > 0 => {
            bytes.extend_from_slice(room.get(..read).unwrap_or_default());
            true
        }
        Ok(_) | Err(_) => false,
    }
}

/// Sends the answer and ends the connection. What the client still sends is read for a moment: closing on it
/// could cost the client the answer.
pub(super) async fn send<S>(stream: &mut S, answer: &[u8])
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let sent = timeout(PATIENCE, async {
        stream.write_all(answer).await?;
        stream.shutdown().await
    });
    if matches!(sent.await, Ok(Ok(()))) {
        let rest = async {
            let mut left = LEFTOVER;
            let mut room = [0; 1024];
            while let Ok(read) = stream.read(&mut room).await {
                left = left.saturating_sub(read);
                if read == 0 || left == 0 {
                    return;
                }
            }
        };
        // A client that stays may stay.
        let _ = timeout(LINGER, rest).await;
    }
}

/// For a request to arrive, and for an answer to be taken.
const PATIENCE: Duration = Duration::from_secs(5);
const LINGER: Duration = Duration::from_millis(500);
const LEFTOVER: usize = 64 << 10;
/// Far more than any head here has.
const HEAD: usize = 8192;

#[cfg(test)]
mod tests {
    use tokio::io::duplex;

    use super::*;

    async fn received(bytes: &[u8]) -> Result<Option<(Request, Vec<u8>)>, u16> {
        let (mut client, mut server) = duplex(1 << 20);
        client.write_all(bytes).await.unwrap();
        client.shutdown().await.unwrap();
        receive(&mut server).await.map_err(|answer| answer.status.as_u16())
    }

    #[tokio::test]
    async fn reads_a_request_with_its_body() {
        let head = "POST /v1/reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n";
        let (request, body) = received(format!("{head}{{}}").as_bytes()).await.unwrap().unwrap();
        assert_eq!((request.path.as_str(), body.as_slice()), ("/v1/reload", &b"{}"[..]));
        assert_eq!(received(format!("{head}{{").as_bytes()).await, Err(400));
        assert_eq!(received(b"").await, Ok(None));
    }

    #[tokio::test]
    async fn refuses_what_is_not_well_framed() {
        for bytes in [
            &b"GET /v1/status HTTP/1.1\nHost: localhost\n\n"[..],
            b"GET /v1/status HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n",
            b"GET /v1/status HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            b"POST /v1/reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"GET /v1/status HTTP/1.1\r\n\r\n",
            b"GET  /v1/status HTTP/1.1\r\nHost: localhost\r\n\r\n",
            b"\x16\x03\x01",
            b"GET /v1/status HTTP/1.1\r\nHost",
        ] {
            assert_eq!(received(bytes).await, Err(400), "{}", String::from_utf8_lossy(bytes));
        }
        assert_eq!(received(b"GET /v1/status HTTP/2.0\r\n\r\n").await, Err(505));
        let long = format!("GET /v1/status HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "x".repeat(HEAD));
        assert_eq!(received(long.as_bytes()).await, Err(431));
        let many = format!("GET /v1/status HTTP/1.1\r\nHost: localhost\r\n{}\r\n", "X: y\r\n".repeat(FIELDS));
        assert_eq!(received(many.as_bytes()).await, Err(431));
    }

    proptest::proptest! {
        /// Whatever is sent, cut wherever it may be.
        #[test]
        fn no_bytes_make_it_panic(
            garbage in proptest::collection::vec(proptest::num::u8::ANY, 0..200),
            at in 0..HEAD_AND_BODY.len(),
            cut in 0..HEAD_AND_BODY.len(),
        ) {
            let bytes = [&HEAD_AND_BODY[..at], &garbage, &HEAD_AND_BODY[cut..]].concat();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            if let Ok(Some((request, body))) = runtime.block_on(received(&bytes)) {
                proptest::prop_assert!(request.path.starts_with('/') && body.len() == request.length);
            }
        }
    }

    const HEAD_AND_BODY: &[u8] =
        b"POST /v1/acme/rollover HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";

    #[tokio::test(start_paused = true)]
    async fn waits_for_nobody_for_long() {
        let (_client, mut server) = duplex(64);
        assert_eq!(receive(&mut server).await.unwrap_err().status, StatusCode::REQUEST_TIMEOUT);
    }
}
