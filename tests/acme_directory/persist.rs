//! The standing record of dns-persist-01 (draft-ietf-acme-dns-persist, section 4), as a CA reads it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest::{SHA256, digest};

use super::jws::encode;
use super::problem::Problem;

/// What a record has to say to be good.
pub(super) struct Expected {
    /// Any of them.
    pub(super) accounturis: Vec<String>,
    pub(super) issuers: Vec<String>,
    /// The certificate is for `*.` the name.
    pub(super) wildcard: bool,
}

impl Expected {
    /// Whether one of the records says it.
    pub(super) fn judge(&self, records: &[String], now: SystemTime) -> Result<(), Problem> {
        let of_ours = |record: &&String| {
            let issuer = record.split(';').next().unwrap_or_default().trim();
            self.issuers.iter().any(|ours| ours == issuer.to_lowercase().trim_end_matches('.'))
        };
        let mut answer = Err(Problem::unauthorized("no record names this issuer"));
        for record in records.iter().filter(of_ours) {
            answer = self.judge_one(record, now);
            if answer.is_ok() {
                break;
            }
        }
        answer
    }

    fn judge_one(&self, record: &str, now: SystemTime) -> Result<(), Problem> {
        let parameters = parameters(record)?;
        let find = |name: &str| {
            let mut found = parameters.iter().filter(|(tag, _)| tag.eq_ignore_ascii_case(name));
            match (found.next(), found.next()) {
                (_, Some(_)) => Err(Problem::malformed(format!("{name} stands twice"))),
                (found, None) => Ok(found.map(|(_, value)| *value)),
            }
        };
        let uri = find("accounturi")?.ok_or_else(|| Problem::malformed("the record has no accounturi"))?;
        if !self.accounturis.iter().any(|ours| ours == uri) {
            return Err(Problem::unauthorized(format!("accounturi {uri} is not this account's")));
        }
        if let Some(until) = find("persistUntil")? {
            let seconds: u64 =
                until.parse().map_err(|_| Problem::malformed("persistUntil is no number of seconds"))?;
            if UNIX_EPOCH + Duration::from_secs(seconds) < now {
                return Err(Problem::unauthorized("persistUntil is over"));
            }
        }
        let wide = find("policy")?.is_some_and(|policy| policy.eq_ignore_ascii_case("wildcard"));
        if self.wildcard && !wide {
            return Err(Problem::unauthorized("the record has no policy=wildcard"));
        }
        Ok(())
    }
}

/// What stands behind the issuer's name (RFC 8659, section 4.2: `issue-value`).
fn parameters(record: &str) -> Result<Vec<(&str, &str)>, Problem> {
    let pair = |text: &&str| !text.trim().is_empty();
    record
        .split(';')
        .skip(1)
        .filter(pair)
        .map(|text| {
            let (tag, value) = text
                .split_once('=')
                .ok_or_else(|| Problem::malformed(format!("{text:?} is no tag=value")))?;
            let fits = |octet: u8| matches!(octet, 0x21..=0x3a | 0x3c..=0x7e);
            let (tag, value) = (tag.trim(), value.trim());
            let good = !tag.is_empty()
                && tag.bytes().all(|octet| octet.is_ascii_alphanumeric())
                && value.bytes().all(fits);
            good.then_some((tag, value))
                .ok_or_else(|| Problem::malformed(format!("{text:?} is no tag=value")))
        })
        .collect()
}

/// The hashed URI of -02, section 4.1; `domain` may be `*`.
pub(crate) fn accounturi(prefix: &str, domain: &str, thumbprint: &str, account: &str) -> String {
    let length = u8::try_from(domain.len()).unwrap();
    let input = [&[length], domain.as_bytes(), thumbprint.as_bytes(), account.as_bytes()].concat();
    format!("{prefix}sha-256/{}", encode(digest(&SHA256, &input).as_ref()))
}
