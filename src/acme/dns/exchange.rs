//! One question and its answer, by TCP (RFC 7766) or, where that can't be, by UDP.
//!
//! Owns connections and their limits; believes no address and no length that a peer names.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use hickory_resolver::proto::op::{Edns, Message, MessageType, OpCode, Query};
use hickory_resolver::proto::rr::{Name, RecordType};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use super::error::DnsError;

/// For a connection, and for an answer: name servers are quick or gone.
const PATIENCE: Duration = Duration::from_secs(5);
/// What a datagram may hold without being cut up on its way (RFC 9715).
const DATAGRAM: u16 = 1232;

/// Sends a whole message by TCP; the answer as it came.
pub(super) async fn by_tcp(server: SocketAddr, message: &[u8]) -> Result<Vec<u8>, DnsError> {
    let unreachable = |reason: String| DnsError::Unreachable { server, reason };
    match timeout(PATIENCE, stream(server, message)).await {
        Ok(answer) => answer.map_err(|error| unreachable(error.to_string())),
        Err(_) => Err(unreachable(format!("no answer within {} s", PATIENCE.as_secs()))),
    }
}

async fn stream(server: SocketAddr, message: &[u8]) -> io::Result<Vec<u8>> {
    let length = u16::try_from(message.len()).map_err(|_| io::Error::other("the message is too long"))?;
    let mut socket = TcpStream::connect(server).await?;
    // In one write: some servers drop what comes in two (RFC 7766 section 8).
    socket.write_all(&[&length.to_be_bytes(), message].concat()).await?;
    let mut answer = vec![0; usize::from(socket.read_u16().await?)];
    socket.read_exact(&mut answer).await?;
    Ok(answer)
}

async fn datagram(server: SocketAddr, message: &[u8], id: u16) -> io::Result<Vec<u8>> {
    let any = match server.ip() {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(server).await?;
    socket.send(message).await?;
    let mut buffer = vec![0; usize::from(DATAGRAM)];
    loop {
        let length = socket.recv(&mut buffer).await?;
        // Others may guess the port; the answer has the number of the question.
        if buffer.get(..2) == Some(&id.to_be_bytes()) {
            buffer.truncate(length);
            return Ok(buffer);
        }
    }
}

/// Asks a server, not recursively, what it knows itself.
pub(super) async fn ask(server: SocketAddr, name: &Name, kind: RecordType) -> Result<Message, DnsError> {
    let mut query = Message::query();
    query.metadata.recursion_desired = false;
    query.add_query(Query::query(name.clone(), kind));
    query.edns.get_or_insert_with(Edns::new).set_max_payload(DATAGRAM).set_version(0);
    let octets = query.to_vec().map_err(|error| DnsError::Name(error.to_string()))?;
    let answer = match by_tcp(server, &octets).await {
        Ok(answer) => answer,
        Err(error) => match timeout(PATIENCE, datagram(server, &octets, query.metadata.id)).await {
            Ok(Ok(answer)) => answer,
            // What was wrong with TCP says more.
            Ok(Err(_)) | Err(_) => return Err(error),
        },
    };
    let nonsense = |reason: String| DnsError::Nonsense { server, reason };
    let answer = Message::from_vec(&answer).map_err(|error| nonsense(error.to_string()))?;
    belongs(&query, &answer, OpCode::Query).map_err(|reason| nonsense(reason.to_owned()))?;
    match answer.metadata.truncation {
        true => Err(nonsense("it is cut off, and TCP does not work".into())),
        false => Ok(answer),
    }
}

/// Whether an answer is that to the question.
pub(super) fn belongs(question: &Message, answer: &Message, code: OpCode) -> Result<(), &'static str> {
    let (asked, told) = (&question.metadata, &answer.metadata);
    if told.message_type != MessageType::Response || told.op_code != code {
        return Err("it is no response");
    }
    if told.id != asked.id {
        return Err("it has another number than the question");
    }
    // Servers that understood nothing send the header alone.
    let repeats = answer.queries.iter().zip(&question.queries).all(|(told, asked)| {
        told.name().to_lowercase() == asked.name().to_lowercase() && told.query_type() == asked.query_type()
    });
    match repeats {
        true => Ok(()),
        false => Err("it repeats another question"),
    }
}

#[cfg(test)]
mod tests;
