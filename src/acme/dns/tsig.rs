//! Transaction signatures (RFC 8945): requests are signed, answers are believed only with theirs.
//!
//! Owns the MAC and what it covers; hickory has the records, aws-lc the hash. hickory's own signer comes
//! only with all of its DNSSEC, and keeps copies of keys that nothing wipes.

use aws_lc_rs::hmac;
use fluxheim_config::TsigAlgorithm;
use hickory_resolver::proto::op::{Header, Message, Query};
use hickory_resolver::proto::rr::rdata::TSIG;
use hickory_resolver::proto::rr::rdata::tsig::{self, TsigError};
use hickory_resolver::proto::rr::{DNSClass, RData, Record};
use hickory_resolver::proto::serialize::binary::{BinDecodable as _, BinDecoder, BinEncoder};

use super::key::TsigKey;

/// How far clocks may differ (RFC 8945 section 10 recommends it).
const FUDGE: u16 = 300;

/// Why an answer can't be believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TsigFailure {
    #[error("it is not signed")]
    Missing,
    #[error("it is signed with another key")]
    OtherKey,
    #[error("its signature is wrong")]
    Wrong,
    #[error("it was signed {0} s from now, by our clock; set clocks by NTP")]
    Time(u64),
    #[error("it is no message: {0}")]
    Malformed(String),
}

/// A request's MAC, which the answer's covers too (section 5.3.1).
pub(super) struct RequestMac(Vec<u8>);

/// What the server says of our signature (section 3).
pub(super) struct Verdict {
    pub(super) error: Option<TsigError>,
    /// The server's time, with BADTIME.
    pub(super) server_time: Option<u64>,
}

impl TsigKey {
    /// The request as it is sent; `now` is in seconds of Unix time.
    pub(super) fn sign(&self, mut request: Message, now: u64) -> Result<(Vec<u8>, RequestMac), String> {
        let bare = TSIG::new(self.algorithm(), now, FUDGE, Vec::new(), request.metadata.id, None, Vec::new());
        let covered = tsig::message_tbs(&request, &bare, &self.name).map_err(|error| error.to_string())?;
        let mac = hmac::sign(&self.mac_key(), &covered).as_ref().to_vec();
        let record = tsig::make_tsig_record(self.name.clone(), bare.set_mac(mac.clone()));
        request.signature = Some(Box::new(record));
        Ok((request.to_vec().map_err(|error| error.to_string())?, RequestMac(mac)))
    }

    /// Checks an answer's signature.
    pub(super) fn verify(&self, answer: &[u8], request: &RequestMac, now: u64) -> Result<(), TsigFailure> {
        let (at, record) = last_record(answer)?;
        let RData::TSIG(tsig) = &record.data else { return Err(TsigFailure::Missing) };
        if record.name.to_lowercase() != self.name || tsig.algorithm != self.algorithm() {
            return Err(TsigFailure::OtherKey);
        }
        // Not as they came, but as they have to be, they are in what is covered.
        if record.dns_class != DNSClass::ANY || record.ttl != 0 {
            return Err(TsigFailure::Malformed(
                "its signature has a class or a TTL (RFC 8945 section 4.2)".into(),
            ));
        }
        let covered = covered(answer, at, &record, tsig, request)?;
        hmac::verify(&self.mac_key(), &covered, &tsig.mac).map_err(|_| TsigFailure::Wrong)?;
        let skew = tsig.time.abs_diff(now);
        // An answer that says BADTIME has the time of the request (section 5.2.3).
        match skew > u64::from(tsig.fudge.min(FUDGE)) && tsig.error != Some(TsigError::BadTime) {
            true => Err(TsigFailure::Time(skew)),
            false => Ok(()),
        }
    }

    fn mac_key(&self) -> hmac::Key {
        let algorithm = match self.algorithm {
            TsigAlgorithm::HmacSha256 => hmac::HMAC_SHA256,
            TsigAlgorithm::HmacSha384 => hmac::HMAC_SHA384,
            TsigAlgorithm::HmacSha512 => hmac::HMAC_SHA512,
        };
        hmac::Key::new(algorithm, &self.secret)
    }

    fn algorithm(&self) -> tsig::TsigAlgorithm {
        match self.algorithm {
            TsigAlgorithm::HmacSha256 => tsig::TsigAlgorithm::HmacSha256,
            TsigAlgorithm::HmacSha384 => tsig::TsigAlgorithm::HmacSha384,
            TsigAlgorithm::HmacSha512 => tsig::TsigAlgorithm::HmacSha512,
        }
    }
}

/// What an answer says of our signature. Nothing vouches for it: it explains a refusal, no more.
pub(super) fn verdict(answer: &[u8]) -> Verdict {
    let Ok((_, Record { data: RData::TSIG(tsig), .. })) = last_record(answer) else {
        return Verdict { error: None, server_time: None };
    };
    let time = tsig.other.iter().fold(0, |time, octet| time << 8 | u64::from(*octet));
    Verdict { error: tsig.error, server_time: (tsig.other.len() == 6).then_some(time) }
}

/// The last record of a message, and where it begins.
fn last_record(message: &[u8]) -> Result<(usize, Record), TsigFailure> {
    let malformed = |error: &dyn std::fmt::Display| TsigFailure::Malformed(error.to_string());
    let mut decoder = BinDecoder::new(message);
    let counts = Header::read(&mut decoder).map_err(|error| malformed(&error))?.counts;
    let before = u32::from(counts.answers) + u32::from(counts.authorities) + u32::from(counts.additionals);
    if counts.additionals == 0 {
        return Err(TsigFailure::Missing);
    }
    for _ in 0..counts.queries {
        Query::read(&mut decoder).map_err(|error| malformed(&error))?;
    }
    for _ in 1..before {
        Record::<RData>::read(&mut decoder).map_err(|error| malformed(&error))?;
    }
    let at = decoder.index();
    let record = Record::read(&mut decoder).map_err(|error| malformed(&error))?;
    match decoder.is_empty() {
        true => Ok((at, record)),
        false => Err(TsigFailure::Malformed("there is more behind its last record".into())),
    }
}

/// What the MAC of an answer covers: the request's MAC, the answer as it was before it was signed, and the
/// variables (section 4.3).
fn covered(
    answer: &[u8],
    at: usize,
    record: &Record,
    tsig: &TSIG,
    request: &RequestMac,
) -> Result<Vec<u8>, TsigFailure> {
    let malformed = || TsigFailure::Malformed("it is shorter than a header".into());
    let length = u16::try_from(request.0.len()).map_err(|_| malformed())?;
    let additionals = answer.get(10..12).and_then(|octets| <[u8; 2]>::try_from(octets).ok());
    let additionals = u16::from_be_bytes(additionals.ok_or_else(malformed)?).saturating_sub(1);
    let mut covered = length.to_be_bytes().to_vec();
    covered.extend_from_slice(&request.0);
    covered.extend_from_slice(&tsig.oid.to_be_bytes());
    covered.extend_from_slice(answer.get(2..10).ok_or_else(malformed)?);
    covered.extend_from_slice(&additionals.to_be_bytes());
    covered.extend_from_slice(answer.get(12..at).ok_or_else(malformed)?);
    let mut variables = Vec::new();
    tsig.emit_tsig_for_mac(&mut BinEncoder::new(&mut variables), &record.name)
        .map_err(|error| TsigFailure::Malformed(error.to_string()))?;
    covered.extend_from_slice(&variables);
    Ok(covered)
}

#[cfg(test)]
mod tests;
