//! What clients, operators and origins do that they should not, or seldom.

use std::io::{BufReader, Read, Write};
use std::time::Duration;

use crate::clients;
use crate::site::Site;
use crate::tally::{Done, Outcome};
use crate::wire::connect;

/// Leaves in the middle of something. Bytes left unread make it a reset.
pub(crate) fn abort(site: &Site) -> Outcome {
    let beginnings: [(&[u8], usize); 6] = [
        (b"", 0),
        (b"GET /small HTTP/1.1\r\nHost: a.te", 0),
        (b"GET /small HTTP/1.1\r\nHost: a.test\r\n\r\n", 0),
        (b"GET /big HTTP/1.1\r\nHost: a.test\r\n\r\n", 5000),
        (b"POST /own/upload HTTP/1.1\r\nHost: a.test\r\nContent-Length: 50000\r\n\r\nonly so much", 0),
        (b"POST /own/upload HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\nonly so much", 0),
    ];
    let turn = site.turn();
    if turn.is_multiple_of(8) {
        drop(clients::upgraded(site)?);
        return Ok(Done::answered(1));
    }
    let at = if turn.is_multiple_of(7) { site.https } else { site.http };
    let (bytes, read) = beginnings[turn % beginnings.len()];
    let mut stream = connect(at)?;
    // The TLS listener may have ended it already: what it got is no handshake.
    let _ = stream.write_all(bytes);
    if at == site.http && read > 0 {
        stream.read_exact(&mut vec![0; read]).map_err(|error| format!("before leaving: {error}"))?;
    }
    std::thread::sleep(Duration::from_millis(1));
    Ok(Done::answered(1))
}

/// Sends what no reader should take; it has to be refused, by a 4xx or the connection's end.
pub(crate) fn malformed(site: &Site) -> Outcome {
    let requests = [
        "GET /small HTTP/1.1\nHost: a.test\n\n".to_owned(),
        "GET /small HTTP/1.1\r\n\r\n".to_owned(),
        "GET /small HTTP/1.1\r\nHost: a.test\r\nHost: b.test\r\n\r\n".to_owned(),
        "POST /own/x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_owned(),
        "POST /own/x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab".to_owned(),
        "POST /own/x HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n".to_owned(),
        "GET /a/../small HTTP/1.1\r\nHost: a.test\r\n\r\n".to_owned(),
        "GET /%00 HTTP/1.1\r\nHost: a.test\r\n\r\n".to_owned(),
        "\0\0\0\0\r\n\r\n".to_owned(),
        format!("GET /small HTTP/1.1\r\nHost: a.test\r\nX: {}\r\n\r\n", "x".repeat(40_000)),
        format!("GET /small HTTP/1.1\r\nHost: a.test\r\n{}\r\n", "X: y\r\n".repeat(300)),
    ];
    let bytes = &requests[site.turn() % requests.len()];
    let mut stream = connect(site.http)?;
    // Refused before it is all read, the rest has nowhere to go.
    let _ = stream.write_all(bytes.as_bytes());
    let mut got = Vec::new();
    let _ = BufReader::new(stream).read_to_end(&mut got);
    if got.is_empty() || got.starts_with(b"HTTP/1.1 4") {
        Ok(Done::answered(1))
    } else {
        Err(format!("{bytes:?} was answered with {:?}", String::from_utf8_lossy(&got)))
    }
}

/// The origin that is not steady: killed, away for a while, there again.
pub(crate) fn restart_origin(site: &Site) -> Outcome {
    site.restart_origin()?;
    Ok(Done::answered(1))
}

/// Another configuration, the first one again, or one with a mistake.
pub(crate) fn reload(site: &Site) -> Outcome {
    match site.turn() % 4 {
        0 => site.reload("[reloads]\n", "reload refused: the running configuration stays")?,
        1 => site.reload(MORE, "configuration reloaded")?,
        _ => site.reload("", "configuration reloaded")?,
    }
    Ok(Done::answered(1))
}

/// Another pair, by turns renamed over, written in place, and for a while only half of it.
pub(crate) fn rotate(site: &Site) -> Outcome {
    site.rotate(site.turn()).map(|()| Done::answered(1))
}

const MORE: &str = "[[upstreams]]\nname = \"more\"\nservers = [\"127.0.0.1:9\"]\n\
                    [[vhosts]]\nhosts = [\"more.test\"]\nroutes = [{ path = \"/\", upstream = \"more\" }]\n";
