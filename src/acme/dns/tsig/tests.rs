use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hickory_resolver::proto::op::{MessageType, OpCode, ResponseCode};
use hickory_resolver::proto::rr::{Name, RecordType};
use proptest::prelude::*;

use super::*;

const NOW: u64 = 1_800_000_000;

fn key(name: &str, secret: &str, algorithm: TsigAlgorithm) -> TsigKey {
    let secret = BASE64_STANDARD.encode(format!("{secret:=<32}"));
    TsigKey::parse(secret.as_bytes(), Some(name), Some(algorithm)).unwrap()
}

fn request() -> Message {
    let mut request = Message::query();
    request.metadata.op_code = OpCode::Update;
    request.queries.push(Query::query(Name::from_ascii("a.test.").unwrap(), RecordType::SOA));
    request
}

/// What a server with that key answers: the MAC over request and answer, as RFC 8945 section 5.3 has it.
fn answer(key: &TsigKey, id: u16, mac: &RequestMac, time: u64, error: Option<TsigError>) -> Vec<u8> {
    let mut answer = Message::new(id, MessageType::Response, OpCode::Update);
    answer.metadata.response_code = ResponseCode::NoError;
    answer.queries = request().queries;
    let bare = TSIG::new(key.algorithm(), time, FUDGE, Vec::new(), id, error, Vec::new());
    let mut covered = u16::try_from(mac.0.len()).unwrap().to_be_bytes().to_vec();
    covered.extend_from_slice(&mac.0);
    covered.extend(tsig::message_tbs(&answer, &bare, &key.name).unwrap());
    let signed = hmac::sign(&key.mac_key(), &covered).as_ref().to_vec();
    answer.signature = Some(Box::new(tsig::make_tsig_record(key.name.clone(), bare.set_mac(signed))));
    answer.to_vec().unwrap()
}

fn signed(key: &TsigKey) -> (u16, RequestMac) {
    let request = request();
    let id = request.metadata.id;
    (id, key.sign(request, NOW).unwrap().1)
}

#[test]
fn believes_the_answer_of_who_has_the_key() {
    for algorithm in [TsigAlgorithm::HmacSha256, TsigAlgorithm::HmacSha384, TsigAlgorithm::HmacSha512] {
        let key = key("acme", "one", algorithm);
        let (id, mac) = signed(&key);
        assert_eq!(key.verify(&answer(&key, id, &mac, NOW, None), &mac, NOW), Ok(()));
        // A relay may have numbered it anew: the original number is in the record.
        let mut renumbered = answer(&key, id, &mac, NOW, None);
        renumbered[0] ^= 1;
        assert_eq!(key.verify(&renumbered, &mac, NOW), Ok(()));
    }
}

#[test]
fn believes_no_other_key_time_or_request() {
    let ours = key("acme", "one", TsigAlgorithm::HmacSha256);
    let (id, mac) = signed(&ours);
    let by = |key: &TsigKey, time| ours.verify(&answer(key, id, &mac, time, None), &mac, NOW);
    assert_eq!(by(&key("acme", "two", TsigAlgorithm::HmacSha256), NOW), Err(TsigFailure::Wrong));
    assert_eq!(by(&key("else", "one", TsigAlgorithm::HmacSha256), NOW), Err(TsigFailure::OtherKey));
    assert_eq!(by(&key("acme", "one", TsigAlgorithm::HmacSha512), NOW), Err(TsigFailure::OtherKey));
    assert_eq!(by(&ours, NOW - 300), Ok(()));
    assert_eq!(by(&ours, NOW - 301), Err(TsigFailure::Time(301)));
    assert_eq!(by(&ours, NOW + 301), Err(TsigFailure::Time(301)));
    let (_, other) = signed(&ours);
    assert_eq!(ours.verify(&answer(&ours, id, &other, NOW, None), &mac, NOW), Err(TsigFailure::Wrong));
    let bare = Message::new(id, MessageType::Response, OpCode::Update).to_vec().unwrap();
    assert_eq!(ours.verify(&bare, &mac, NOW), Err(TsigFailure::Missing));
    // An answer that says BADTIME has our own time, and is signed.
    let late = answer(&ours, id, &mac, NOW - 9000, Some(TsigError::BadTime));
    assert_eq!(ours.verify(&late, &mac, NOW), Ok(()));
    assert_eq!(verdict(&late).error, Some(TsigError::BadTime));
}

#[test]
fn one_bit_spoils_it() {
    let key = key("acme", "one", TsigAlgorithm::HmacSha256);
    let (id, mac) = signed(&key);
    let good = answer(&key, id, &mac, NOW, None);
    for at in 2..good.len() {
        let mut spoilt = good.clone();
        spoilt[at] ^= 0x20;
        // Only the case of the key's name and of the algorithm's may differ: names are compared without it.
        if let Ok(()) = key.verify(&spoilt, &mac, NOW) {
            assert!(good[at].is_ascii_alphabetic(), "octet {at}");
        }
    }
    assert!(matches!(key.verify(&[&good[..], b"x"].concat(), &mac, NOW), Err(TsigFailure::Malformed(_))));
}

proptest! {
    #[test]
    fn no_octets_upset_it(octets in proptest::collection::vec(any::<u8>(), 0..200), cut in 0_usize..200) {
        let key = key("acme", "one", TsigAlgorithm::HmacSha256);
        let (id, mac) = signed(&key);
        prop_assert!(key.verify(&octets, &mac, NOW).is_err());
        let good = answer(&key, id, &mac, NOW, None);
        let cut = cut.min(good.len() - 1);
        prop_assert!(key.verify(&good[..cut], &mac, NOW).is_err());
        let tailed = [&good[..cut], &octets].concat();
        if tailed != good {
            prop_assert!(key.verify(&tailed, &mac, NOW).is_err());
        }
        let _ = verdict(&octets);
        let _ = verdict(&tailed);
    }
}
