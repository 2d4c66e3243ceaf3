use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::rdata::TXT;
use hickory_resolver::proto::rr::{RData, Record};
use tokio::net::TcpListener;

use super::*;

fn name() -> Name {
    Name::from_ascii("a.test.").unwrap()
}

fn answer(query: &Message, text: &str) -> Message {
    let mut answer = Message::response(query.metadata.id, OpCode::Query);
    answer.queries = query.queries.clone();
    answer.answers.push(Record::from_rdata(name(), 60, RData::TXT(TXT::new(vec![text.to_owned()]))));
    answer
}

fn text(answer: &Message) -> String {
    answer.answers.iter().map(|record| record.data.to_string()).collect()
}

/// Answers one question by UDP with those messages; nothing listens by TCP.
async fn by_udp(answers: impl Fn(Message) -> Vec<Message> + Send + 'static) -> Result<Message, DnsError> {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let server = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 512];
        let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
        for answer in answers(Message::from_vec(&buffer[..length]).unwrap()) {
            socket.send_to(&answer.to_vec().unwrap(), from).await.unwrap();
        }
    });
    ask(server, &name(), RecordType::TXT).await
}

#[tokio::test]
async fn asks_by_udp_what_is_not_told_by_tcp() {
    let told = by_udp(|query| vec![answer(&query, "udp")]).await.unwrap();
    assert_eq!(text(&told), "udp");
}

#[tokio::test]
async fn takes_no_datagram_with_another_number() {
    let told = by_udp(|query| {
        let mut forged = answer(&query, "forged");
        forged.metadata.id ^= 1;
        vec![forged, answer(&query, "good")]
    });
    assert_eq!(text(&told.await.unwrap()), "good");
}

#[tokio::test]
async fn takes_nothing_that_was_cut_off() {
    let told = by_udp(|query| {
        let mut cut = answer(&query, "half");
        cut.metadata.truncation = true;
        vec![cut]
    });
    let error = told.await.unwrap_err();
    assert!(matches!(&error, DnsError::Nonsense { reason, .. } if reason.contains("cut off")), "{error}");
}

#[tokio::test]
async fn takes_no_answer_to_another_question() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut socket = listener.accept().await.unwrap().0;
        let mut query = vec![0; usize::from(socket.read_u16().await.unwrap())];
        socket.read_exact(&mut query).await.unwrap();
        let mut other = answer(&Message::from_vec(&query).unwrap(), "other");
        other.metadata.response_code = ResponseCode::NoError;
        other.queries = vec![Query::query(Name::from_ascii("b.test.").unwrap(), RecordType::TXT)];
        let octets = other.to_vec().unwrap();
        socket.write_u16(u16::try_from(octets.len()).unwrap()).await.unwrap();
        socket.write_all(&octets).await.unwrap();
    });
    let error = ask(server, &name(), RecordType::TXT).await.unwrap_err();
    assert!(
        matches!(&error, DnsError::Nonsense { reason, .. } if reason.contains("another question")),
        "{error}"
    );
}
