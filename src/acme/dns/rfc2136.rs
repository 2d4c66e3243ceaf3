//! Dynamic updates (RFC 2136) signed by a shared key (RFC 8945).
//!
//! Owns what is asked of the server and what its answers mean. Adds and removes one record at a time, by
//! its value: whatever else is there stays.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use hickory_resolver::TokioResolver;
use hickory_resolver::proto::op::{Message, OpCode, Query, ResponseCode};
use hickory_resolver::proto::rr::rdata::TXT;
use hickory_resolver::proto::rr::rdata::tsig::TsigError;
use hickory_resolver::proto::rr::{DNSClass, RData, Record as DnsRecord, RecordType};

use super::error::{DnsError, ProviderError, Refusal};
use super::exchange::{belongs, by_tcp};
use super::key::TsigKey;
use super::tsig::verdict;
use super::zone::{self, Finder, Place};
use super::{Provider, Record, visible};

/// A server that takes updates.
#[derive(Debug)]
pub struct Rfc2136 {
    finder: Finder,
    key: TsigKey,
    ttl: u32,
    propagation: Duration,
    clock: fn() -> SystemTime,
}

#[derive(Clone, Copy)]
enum Change {
    Add,
    Remove,
}

impl Rfc2136 {
    /// # Errors
    /// [`ProviderError::Zone`]
    pub fn new(
        config: &fluxheim_config::Rfc2136,
        key: TsigKey,
        propagation: Duration,
        resolver: TokioResolver,
    ) -> Result<Self, ProviderError> {
        let server = Some((config.host.clone(), config.port));
        let finder = Finder { server, zone: zone::named(config.zone.as_deref())?, resolver };
        let ttl = u32::try_from(config.ttl.as_secs()).unwrap_or(u32::MAX);
        Ok(Self { finder, key, ttl, propagation, clock: SystemTime::now })
    }

    /// With another clock to sign by; for tests.
    #[must_use]
    pub fn with_clock(self, clock: fn() -> SystemTime) -> Self {
        Self { clock, ..self }
    }

    /// Seconds of Unix time.
    fn now(&self) -> u64 {
        (self.clock)().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
    }

    /// Sends an update to the first address that takes it in.
    async fn change(&self, place: &Place, value: &str, change: Change) -> Result<(), DnsError> {
        let mut last = None;
        for server in self.finder.servers().await? {
            match self.update(server, place, value, change).await {
                Err(error @ (DnsError::Unreachable { .. } | DnsError::Nonsense { .. })) => last = Some(error),
                told => return told,
            }
        }
        Err(last.unwrap_or_else(|| DnsError::ServerName {
            server: format!("{:?}", self.finder.server),
            reason: "it has no address".into(),
        }))
    }

    async fn update(
        &self,
        server: SocketAddr,
        place: &Place,
        value: &str,
        change: Change,
    ) -> Result<(), DnsError> {
        let request = self.message(place, value, change);
        let now = self.now();
        let (octets, mac) =
            self.key.sign(request.clone(), now).map_err(|reason| DnsError::Nonsense { server, reason })?;
        let answer = by_tcp(server, &octets).await?;
        let nonsense = |reason: String| DnsError::Nonsense { server, reason };
        let told = Message::from_vec(&answer).map_err(|error| nonsense(error.to_string()))?;
        belongs(&request, &told, OpCode::Update).map_err(|reason| nonsense(reason.to_owned()))?;
        let signed = self.key.verify(&answer, &mac, self.now());
        // A refusal without a signature is one all the same: BADKEY and BADSIG come without (RFC 8945 section
        // 5.2). That it was done has to be signed.
        if let Some(reason) = refusal(told.metadata.response_code, &answer, now) {
            return Err(DnsError::Refused { server, zone: place.zone.to_string(), reason });
        }
        signed.map_err(|reason| DnsError::Unsigned { server, reason })
    }

    /// RFC 2136 section 2.5.1 and 2.5.4.
    fn message(&self, place: &Place, value: &str, change: Change) -> Message {
        let mut zone = Query::query(place.zone.clone(), RecordType::SOA);
        zone.set_query_class(DNSClass::IN);
        let mut message = Message::query();
        message.metadata.op_code = OpCode::Update;
        message.metadata.recursion_desired = false;
        message.queries.push(zone);
        let ttl = match change {
            Change::Add => self.ttl,
            Change::Remove => 0,
        };
        let data = RData::TXT(TXT::new(vec![value.to_owned()]));
        let mut record = DnsRecord::from_rdata(place.owner.clone(), ttl, data);
        record.dns_class = match change {
            Change::Add => DNSClass::IN,
            Change::Remove => DNSClass::NONE,
        };
        // The update section is where answers have their authorities.
        message.authorities.push(record);
        message
    }
}

#[async_trait]
impl Provider for Rfc2136 {
    fn kind(&self) -> &'static str {
        "rfc2136"
    }

    async fn owner(&self, name: &str) -> Option<String> {
        Some(self.finder.place(name).await.ok()?.owner.to_string())
    }

    async fn present(&self, name: &str, value: &str) -> Result<Record, DnsError> {
        let place = self.finder.place(name).await?;
        self.change(&place, value, Change::Add).await?;
        tracing::debug!(name, owner = %place.owner, zone = %place.zone, "record added");
        Ok(Record { name: name.to_owned(), value: value.to_owned() })
    }

    async fn visible(&self, record: &Record) -> Result<(), DnsError> {
        let place = self.finder.place(&record.name).await?;
        visible::wait(&self.finder, &place, &record.value, self.propagation).await
    }

    async fn cleanup(&self, record: Record) -> Result<(), DnsError> {
        let place = self.finder.place(&record.name).await?;
        self.change(&place, &record.value, Change::Remove).await?;
        tracing::debug!(name = record.name, owner = %place.owner, "record removed");
        Ok(())
    }
}

/// What an answer refuses, if it does.
fn refusal(code: ResponseCode, answer: &[u8], now: u64) -> Option<Refusal> {
    let said = verdict(answer);
    match said.error {
        Some(TsigError::BadKey) => return Some(Refusal::BadKey),
        Some(TsigError::BadSig | TsigError::BadTrunc) => return Some(Refusal::BadSignature),
        Some(TsigError::BadTime) => {
            return Some(match said.server_time.and_then(|time| skew(time, now)) {
                Some(skew) => Refusal::BadTime { skew },
                None => Refusal::BadTimeUnsaid,
            });
        }
        Some(TsigError::Unknown(0)) | None => {}
        Some(TsigError::Unknown(code)) => return Some(Refusal::Other(code)),
    }
    Some(match code {
        ResponseCode::NoError => return None,
        ResponseCode::Refused => Refusal::Refused,
        ResponseCode::NotAuth => Refusal::NotAuthoritative,
        ResponseCode::NotZone => Refusal::NotZone,
        ResponseCode::NotImp => Refusal::NotImplemented,
        ResponseCode::ServFail => Refusal::ServerFailure,
        ResponseCode::FormErr => Refusal::Malformed,
        code => Refusal::Other(code.into()),
    })
}

fn skew(server: u64, ours: u64) -> Option<i64> {
    i64::try_from(server).ok()?.checked_sub(i64::try_from(ours).ok()?)
}

#[cfg(test)]
mod tests;
