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
use hickory_resolver::proto::rr::{DNSClass, Name, RData, Record as DnsRecord, RecordType};
use tokio::time::{Instant, timeout_at};

use super::error::{DnsError, ProviderError, Refusal};
use super::exchange::{ask, belongs, by_tcp};
use super::key::TsigKey;
use super::tsig::verdict;
use super::zone::{Finder, Place, Servers, is_authoritative};
use super::{Provider, Record};

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
        let zone = config.zone.as_ref().map(|text| {
            let mut zone = Name::from_ascii(text).map_err(|_| ProviderError::Zone(text.clone()))?;
            zone.set_fqdn(true);
            Ok::<_, ProviderError>(zone)
        });
        let finder =
            Finder { host: config.host.clone(), port: config.port, zone: zone.transpose()?, resolver };
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
            server: format!("{:?}", self.finder.host),
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

    /// Waits for the place's servers, all of them.
    async fn wait(&self, place: &Place, value: &str) -> Result<(), DnsError> {
        let deadline = Instant::now() + self.propagation;
        let mut servers = None;
        let mut pause = FIRST_PAUSE;
        let mut missing = "no server answered in time".to_owned();
        loop {
            match timeout_at(deadline, self.look(place, value, &mut servers)).await {
                Ok(Ok(said)) if said.is_empty() => return Ok(()),
                Ok(Ok(said)) => missing = said.join("; "),
                Ok(Err(error)) => missing = error.to_string(),
                Err(_) => {}
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let (name, waited) = (place.owner.to_string(), self.propagation);
                return Err(DnsError::Invisible { name, waited, missing });
            }
            tokio::time::sleep(pause.min(left)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// One round; who the servers are is asked until it is known.
    async fn look(
        &self,
        place: &Place,
        value: &str,
        servers: &mut Option<Servers>,
    ) -> Result<Vec<String>, DnsError> {
        let known = match servers.take() {
            Some(known) => known,
            None => self.finder.name_servers(&place.zone).await?,
        };
        let missing = missing(servers.insert(known), place, value).await;
        Ok(missing)
    }
}

/// Which servers have not got it. Of a server that can't be reached by one of its addresses the others count;
/// one that can't be reached at all may be out of reach from here only, but nobody knows.
async fn missing(servers: &Servers, place: &Place, value: &str) -> Vec<String> {
    let mut missing = Vec::new();
    for (server, addresses) in servers {
        let mut reasons = Vec::new();
        let mut has = false;
        for address in addresses {
            match ask(*address, &place.owner, RecordType::TXT).await {
                Ok(answer) if !is_authoritative(&answer) => reasons.push(format!(
                    "{server} ({}) does not answer for the zone: {}",
                    address.ip(),
                    answer.metadata.response_code
                )),
                Ok(answer) if holds(&answer, &place.owner, value) => has = true,
                Ok(_) => {
                    has = false;
                    reasons.push(format!("{server} ({}) has not got it yet", address.ip()));
                    break;
                }
                Err(error) => reasons.push(error.to_string()),
            }
        }
        match (has, reasons.is_empty()) {
            (true, _) => {}
            (false, true) => missing.push(format!("{server} has no address")),
            (false, false) => missing.append(&mut reasons),
        }
    }
    missing
}

const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// Secondaries ask again within minutes, or were told at once: there is no haste.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

#[async_trait]
impl Provider for Rfc2136 {
    async fn present(&self, name: &str, value: &str) -> Result<Record, DnsError> {
        let place = self.finder.place(name).await?;
        self.change(&place, value, Change::Add).await?;
        tracing::debug!(name, owner = %place.owner, zone = %place.zone, "record added");
        Ok(Record { name: name.to_owned(), value: value.to_owned() })
    }

    async fn visible(&self, record: &Record) -> Result<(), DnsError> {
        let place = self.finder.place(&record.name).await?;
        self.wait(&place, &record.value).await
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

/// Whether an answer has the record, behind CNAMEs or not.
fn holds(answer: &Message, owner: &Name, value: &str) -> bool {
    let is = |record: &DnsRecord| match &record.data {
        RData::TXT(text) => {
            record.name.to_lowercase() == owner.to_lowercase() && text.txt_data.concat() == value.as_bytes()
        }
        _ => false,
    };
    answer.answers.iter().any(is)
}

#[cfg(test)]
mod tests;
