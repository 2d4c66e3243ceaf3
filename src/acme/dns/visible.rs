//! Waiting until a record is seen by those whom a CA will ask.
//!
//! Owns which of a zone's name servers count, and how long they are asked; makes no record.

use std::time::Duration;

use hickory_resolver::proto::op::Message;
use hickory_resolver::proto::rr::{Name, RData, Record as DnsRecord, RecordType};
use tokio::time::{Instant, timeout_at};

use super::error::DnsError;
use super::exchange::ask;
use super::zone::{Finder, Place, Servers, is_authoritative};

/// Waits for the place's servers, all of them.
pub(super) async fn wait(
    finder: &Finder,
    place: &Place,
    value: &str,
    propagation: Duration,
) -> Result<(), DnsError> {
    let deadline = Instant::now() + propagation;
    let mut servers = None;
    let mut pause = FIRST_PAUSE;
    let mut missing = "no server answered in time".to_owned();
    loop {
        match timeout_at(deadline, look(finder, place, value, &mut servers)).await {
            Ok(Ok(said)) if said.is_empty() => return Ok(()),
            Ok(Ok(said)) => missing = said.join("; "),
            Ok(Err(error)) => missing = error.to_string(),
            Err(_) => {}
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            let (name, waited) = (place.owner.to_string(), propagation);
            return Err(DnsError::Invisible { name, waited, missing });
        }
        tokio::time::sleep(pause.min(left)).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// One round; who the servers are is asked until it is known.
async fn look(
    finder: &Finder,
    place: &Place,
    value: &str,
    servers: &mut Option<Servers>,
) -> Result<Vec<String>, DnsError> {
    let known = match servers.take() {
        Some(known) => known,
        None => finder.name_servers(&place.zone).await?,
    };
    let missing = missing(servers.insert(known), place, value).await;
    Ok(missing)
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

const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// Secondaries ask again within minutes, or were told at once: there is no haste.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
