//! Servers that answer what they must not. What a real one answers is asked from outside (tests/e2e).

use std::net::IpAddr;

use fluxheim_config::{TsigAlgorithm, UpstreamHost};
use hickory_resolver::config::ResolverConfig;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::op::MessageType;
use hickory_resolver::proto::rr::Name;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

fn provider(port: u16) -> Rfc2136 {
    let config = fluxheim_config::Rfc2136 {
        host: UpstreamHost::Ip(IpAddr::from([127, 0, 0, 1])),
        port,
        zone: Some("a.test".into()),
        key_name: Some("acme".into()),
        key_file: "/key".into(),
        algorithm: Some(TsigAlgorithm::HmacSha256),
        ttl: Duration::from_secs(60),
    };
    let key = TsigKey::parse(b"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=", Some("acme"), None).unwrap();
    let nowhere =
        TokioResolver::builder_with_config(ResolverConfig::default(), TokioRuntimeProvider::default());
    Rfc2136::new(&config, key, Duration::from_secs(1), nowhere.build().unwrap()).unwrap()
}

/// What comes of adding a record at a server that answers so.
async fn told(answer: impl Fn(Message) -> Vec<u8> + Send + 'static) -> DnsError {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(async move {
        let mut socket = listener.accept().await.unwrap().0;
        let mut request = vec![0; usize::from(socket.read_u16().await.unwrap())];
        socket.read_exact(&mut request).await.unwrap();
        let answer = answer(Message::from_vec(&request).unwrap());
        socket.write_all(&answer).await.unwrap();
    });
    let name = Name::from_ascii("_acme-challenge.a.test.").unwrap();
    let place = Place { owner: name, zone: Name::from_ascii("a.test.").unwrap() };
    let error = provider(port).change(&place, "value", Change::Add).await.unwrap_err();
    server.await.unwrap();
    error
}

fn response(request: &Message, code: ResponseCode) -> Message {
    let mut response = Message::new(request.metadata.id, MessageType::Response, OpCode::Update);
    response.metadata.response_code = code;
    response
}

/// With its length before it.
fn framed(message: &Message) -> Vec<u8> {
    let octets = message.to_vec().unwrap();
    [&u16::try_from(octets.len()).unwrap().to_be_bytes(), &octets[..]].concat()
}

#[tokio::test]
async fn a_good_answer_without_a_signature_is_none() {
    let error = told(|request| framed(&response(&request, ResponseCode::NoError))).await;
    let missing = super::super::tsig::TsigFailure::Missing;
    assert!(matches!(&error, DnsError::Unsigned { reason, .. } if *reason == missing), "{error}");
}

#[tokio::test]
async fn a_refusal_needs_no_signature() {
    let cases = [
        (ResponseCode::Refused, Refusal::Refused),
        (ResponseCode::NotAuth, Refusal::NotAuthoritative),
        (ResponseCode::NotZone, Refusal::NotZone),
        (ResponseCode::NotImp, Refusal::NotImplemented),
        (ResponseCode::ServFail, Refusal::ServerFailure),
        (ResponseCode::FormErr, Refusal::Malformed),
        (ResponseCode::YXDomain, Refusal::Other(6)),
    ];
    for (code, expected) in cases {
        let error = told(move |request| framed(&response(&request, code))).await;
        assert!(matches!(error, DnsError::Refused { reason, .. } if reason == expected), "{error}");
    }
}

#[tokio::test]
async fn answers_to_something_else_are_nonsense() {
    let is_nonsense = |error: &DnsError| matches!(error, DnsError::Nonsense { .. });
    let error = told(|request| {
        let mut other = response(&request, ResponseCode::NoError);
        other.metadata.id ^= 1;
        framed(&other)
    });
    assert!(is_nonsense(&error.await));
    let error = told(|request| {
        let mut other = response(&request, ResponseCode::NoError);
        other.metadata.op_code = OpCode::Query;
        framed(&other)
    });
    assert!(is_nonsense(&error.await));
    let error = told(|request| {
        let mut other = response(&request, ResponseCode::NoError);
        other.queries.push(Query::query(Name::from_ascii("b.test.").unwrap(), RecordType::SOA));
        framed(&other)
    });
    assert!(is_nonsense(&error.await));
    assert!(is_nonsense(&told(|_| vec![0, 3, 1, 2, 3]).await));
}

#[tokio::test]
async fn answers_that_end_early_are_no_answers() {
    for answer in [vec![], vec![0], vec![0xff, 0xff, 1, 2, 3], vec![0, 0]] {
        let error = told(move |_| answer.clone()).await;
        let fits = matches!(error, DnsError::Unreachable { .. } | DnsError::Nonsense { .. });
        assert!(fits, "{error}");
    }
}

#[test]
fn clocks_are_compared() {
    assert_eq!(skew(100, 40), Some(60));
    assert_eq!(skew(40, 100), Some(-60));
    assert_eq!(skew(u64::MAX, 1), None);
    assert_eq!(
        Refusal::BadTime { skew: -60 }.to_string(),
        "BADTIME: its clock is 60 s behind ours; set both by NTP"
    );
}
