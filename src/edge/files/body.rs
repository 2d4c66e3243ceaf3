//! The bytes of static files, whatever their size.
//!
//! Owns reading without holding up other requests: what is in memory is read at once, what is not by a
//! thread of the runtime's pool for such work. Holds one chunk of a file at a time, and asks for the next
//! when the client has taken it. Follows preadv2(2).

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use pingora::proxy::Session;
use pingora::{Error, ErrorType, OrErr, Result};

use super::Site;

/// A part of a body.
#[derive(Debug)]
pub(super) enum Piece {
    Text(Bytes),
    /// Bytes of the file.
    File(Range<u64>),
}

/// Sends `pieces`, the last of which ends the body.
pub(super) async fn send(session: &mut Session, site: &Site, file: File, pieces: Vec<Piece>) -> Result<()> {
    let file = Arc::new(file);
    let last = pieces.len().saturating_sub(1);
    for (index, piece) in pieces.into_iter().enumerate() {
        match piece {
            Piece::Text(text) => session.write_response_body(Some(text), index == last).await?,
            Piece::File(range) => copy(session, site, &file, range, index == last).await?,
        }
    }
    Ok(())
}

async fn copy(
    session: &mut Session,
    site: &Site,
    file: &Arc<File>,
    range: Range<u64>,
    last: bool,
) -> Result<()> {
    let Range { mut start, end } = range;
    while start < end {
        let want = usize::try_from(end - start).unwrap_or(CHUNK).min(CHUNK);
        let chunk = read(site, file, start, want).await.or_err(ErrorType::FileReadError, "a static file")?;
        if chunk.is_empty() {
            // Cut since its length was promised: ending early is the only honest way left.
            return Error::e_explain(ErrorType::FileReadError, "a static file shrank while it was sent");
        }
        start += chunk.len() as u64;
        session.write_response_body(Some(chunk), last && start >= end).await?;
    }
    Ok(())
}

/// Up to `want` bytes; empty at the end of the file.
async fn read(site: &Site, file: &Arc<File>, at: u64, want: usize) -> io::Result<Bytes> {
    let mut room = vec![0; want];
    if site.sees_memory() {
        match fluxheim_trust::read_cached(file, &mut room, at) {
            Ok(got) => return Ok(cut(room, got)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == io::ErrorKind::Unsupported => site.is_blind(),
            Err(error) => return Err(error),
        }
    }
    // Where memory can't be seen into, the start of a file is read as nginx reads all of it: a hop to
    // another thread would cost small files, which mostly are in memory, more than it saves.
    if !site.sees_memory() && at == 0 {
        let got = file.read_at(&mut room, at)?;
        return Ok(cut(room, got));
    }
    let file = Arc::clone(file);
    let read = move || file.read_at(&mut room, at).map(|got| cut(room, got));
    tokio::task::spawn_blocking(read).await.map_err(io::Error::other)?
}

fn cut(mut room: Vec<u8>, len: usize) -> Bytes {
    room.truncate(len);
    Bytes::from(room)
}

/// Read and sent at once: large enough to be cheap, small enough for thousands of slow clients.
const CHUNK: usize = 64 * 1024;
