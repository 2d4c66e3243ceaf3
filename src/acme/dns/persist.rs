//! The standing record of DNS-PERSIST-01: made once by the operator, looked at by the CA for each order.
//!
//! Owns what the record has to say, and whether it says so. Nothing here writes to DNS: no credential for it
//! is needed at the edge. Follows draft-ietf-acme-dns-persist-02 where the CA does, which says so by
//! `accountHashPrefix` in its directory, and else -01, which CAs began with.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hickory_resolver::TokioResolver;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use serde_json::Value;

/// The type of the challenge.
pub const CHALLENGE: &str = "dns-persist-01";

/// The record that has to stand for a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// `_validation-persist.` and the name, without a dot at the end.
    pub name: String,
    /// What to write there.
    pub value: String,
    issuers: Vec<String>,
    accounturis: Vec<String>,
    /// What account URIs of the CA begin with, if they are hashed.
    hash_prefix: Option<String>,
    wildcard: bool,
}

/// Why it can't be said what the record has to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PersistError {
    #[error(
        "the CA's directory names no issuer domain yet (issuerDomainNames, or caaIdentities): the first order will"
    )]
    NoIssuer,
    #[error("the CA's {0} is no list of 1 to 10 domain names in lower case without a dot at the end")]
    Issuers(&'static str),
    #[error("the CA's challenge leaves out the issuer domain {0} that its directory promises")]
    Broken(String),
    #[error("the CA's challenge names the issuer domain {0} that its caaIdentities do not")]
    Undisclosed(String),
    #[error("the CA's {member} {uri:?} is no URI that a record can hold (RFC 8659 section 4.2)")]
    Uri { member: &'static str, uri: String },
    #[error("{0} is too long for a name with _validation-persist before it")]
    Name(String),
}

/// What there is instead of the record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Missing {
    #[error("{name} can't be looked up: {reason}")]
    Lookup { name: String, reason: String },
    #[error("there is no TXT record {name} for this CA; set: {record}")]
    Nothing { name: String, record: String },
    #[error("the TXT record {name} does not do: {reason}; set: {record}")]
    Wrong { name: String, reason: String, record: String },
}

/// Whether the record stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    Good,
    /// Hashed from another key: perhaps one that the account had before, which a CA has to take
    /// (section 4.2). It should be renewed.
    PerhapsOlder,
}

/// What the CA needs to see for `host`, of whose authorization the `challenge` is (`null` before there is
/// one). `meta` is that of the directory, `thumbprint` the account key's (RFC 7638, in base64url).
///
/// # Errors
/// [`PersistError`] when the CA does not keep to the draft, or has not said enough yet.
pub fn expected(
    meta: &Value,
    challenge: &Value,
    account: &str,
    thumbprint: &str,
    host: &str,
    wildcard: bool,
) -> Result<Standing, PersistError> {
    let domain = host.trim_start_matches("*.").trim_end_matches('.').to_ascii_lowercase();
    let name = format!("_validation-persist.{domain}");
    let length = u8::try_from(domain.len()).map_err(|_| PersistError::Name(domain.clone()))?;
    if name.len() > LONGEST_NAME {
        return Err(PersistError::Name(domain));
    }
    let issuers = issuers(meta, challenge)?;
    let hash_prefix = uri(meta["accountHashPrefix"].as_str(), "accountHashPrefix")?;
    uri(Some(account), "account")?;
    let accounturis = match &hash_prefix {
        Some(prefix) => vec![
            hashed(prefix, length, domain.as_bytes(), thumbprint, account),
            hashed(prefix, 1, b"*", thumbprint, account),
        ],
        None => {
            let own = uri(challenge["accounturi"].as_str(), "accounturi")?.filter(|uri| uri != account);
            std::iter::once(account.to_owned()).chain(own).collect()
        }
    };
    let issuer = issuers.first().map(String::as_str).unwrap_or_default();
    let accounturi = accounturis.first().map(String::as_str).unwrap_or_default();
    let policy = if wildcard { "; policy=wildcard" } else { "" };
    let value = format!("{issuer}; accounturi={accounturi}{policy}");
    Ok(Standing { name, value, issuers, accounturis, hash_prefix, wildcard })
}

/// Names have 255 octets in messages, 253 in text.
const LONGEST_NAME: usize = 253;

/// What a CA says goes into a zone by the operator's hand: it must not end its string or begin another record.
fn uri(text: Option<&str>, member: &'static str) -> Result<Option<String>, PersistError> {
    let fits = |octet: u8| octet.is_ascii_graphic() && !matches!(octet, b'"' | b'\\' | b';');
    match text {
        Some(uri) if uri.len() > LONGEST_URI || !uri.bytes().all(fits) => {
            Err(PersistError::Uri { member, uri: uri.chars().take(64).collect() })
        }
        text => Ok(text.map(str::to_owned)),
    }
}

/// Real ones have a hundred octets.
const LONGEST_URI: usize = 1024;

/// Section 4.1: H(length || domain || thumbprint || account URL).
fn hashed(prefix: &str, length: u8, domain: &[u8], thumbprint: &str, account: &str) -> String {
    let input = [&[length], domain, thumbprint.as_bytes(), account.as_bytes()].concat();
    format!("{prefix}sha-256/{}", BASE64_URL_SAFE_NO_PAD.encode(digest(&SHA256, &input)))
}

/// The issuer's names, the one to write first (sections 3.1 and 3.2).
fn issuers(meta: &Value, challenge: &Value) -> Result<Vec<String>, PersistError> {
    let directory = names(&meta["issuerDomainNames"], "issuerDomainNames");
    let caa = names(&meta["caaIdentities"], "caaIdentities").ok().flatten();
    let now = ["issuerDomainNames", "issuer-domain-names"]
        .into_iter()
        .find_map(|member| names(&challenge[member], member).transpose())
        .transpose()?;
    // What is wrong in the directory makes it useless before an order, no more (section 3.2).
    let Some(mut offered) = now else {
        return directory?.or(caa).ok_or(PersistError::NoIssuer);
    };
    if let Ok(Some(promised)) = directory {
        if let Some(missing) = promised.iter().find(|name| !offered.contains(name)) {
            return Err(PersistError::Broken(missing.clone()));
        }
        // A name of the directory holds for later orders too.
        offered.sort_by_key(|name| !promised.contains(name));
    }
    if let (Some(caa), true) = (caa, meta["accountHashPrefix"].is_string())
        && let Some(unknown) = offered.iter().find(|name| !caa.contains(name))
    {
        return Err(PersistError::Undisclosed(unknown.clone()));
    }
    Ok(offered)
}

/// A list of names as the draft has them; `None` where there is no list.
fn names(value: &Value, member: &'static str) -> Result<Option<Vec<String>>, PersistError> {
    if value.is_null() {
        return Ok(None);
    }
    let fits = |name: &str| {
        let octet = |octet: u8| matches!(octet, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_');
        !name.is_empty() && name.len() <= LONGEST_NAME && !name.ends_with('.') && name.bytes().all(octet)
    };
    let names: Option<Vec<String>> = value.as_array().and_then(|list| {
        list.iter().map(|name| name.as_str().filter(|name| fits(name)).map(str::to_owned)).collect()
    });
    let names = names.filter(|names| (1..=10).contains(&names.len()));
    names.map(Some).ok_or(PersistError::Issuers(member))
}

/// A line of a zone file.
impl fmt::Display for Standing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}. IN TXT", self.name)?;
        // A string has 255 octets at most (RFC 1035 section 3.3.14); what is in it is ASCII.
        let mut rest = self.value.as_str();
        while !rest.is_empty() {
            let (string, after) = rest.split_at(rest.len().min(255));
            write!(formatter, " \"{string}\"")?;
            rest = after;
        }
        Ok(())
    }
}

impl Standing {
    /// Looks whether the record stands, by the system's resolver.
    ///
    /// # Errors
    /// [`Missing`] says what to set.
    pub async fn look(&self, resolver: &TokioResolver) -> Result<Seen, Missing> {
        let lookup = |reason: String| Missing::Lookup { name: self.name.clone(), reason };
        let mut name = Name::from_ascii(&self.name).map_err(|error| lookup(error.to_string()))?;
        name.set_fqdn(true);
        let found = match resolver.lookup(name, RecordType::TXT).await {
            Ok(found) => found.answers().to_vec(),
            Err(error) if error.is_no_records_found() => Vec::new(),
            Err(error) => return Err(lookup(error.to_string())),
        };
        let texts = found.iter().filter_map(|record| match &record.data {
            RData::TXT(text) => Some(String::from_utf8_lossy(&text.txt_data.concat()).into_owned()),
            _ => None,
        });
        self.judge(&texts.collect::<Vec<_>>(), SystemTime::now())
    }

    /// Whether one of the records does, as the CA judges them (section 4.3).
    ///
    /// # Errors
    /// [`Missing`] says what is wrong with the last one that is meant for the CA.
    pub fn judge(&self, records: &[String], now: SystemTime) -> Result<Seen, Missing> {
        let (name, record) = (self.name.clone(), self.to_string());
        let mut seen = Err(Missing::Nothing { name: name.clone(), record: record.clone() });
        for text in records {
            let (issuer, rest) = text.split_once(';').unwrap_or((text, ""));
            let issuer = issuer.trim().trim_end_matches('.').to_ascii_lowercase();
            if !self.issuers.contains(&issuer) {
                continue;
            }
            match self.parameters(rest, now) {
                Ok(Seen::Good) => return Ok(Seen::Good),
                Ok(Seen::PerhapsOlder) => seen = Ok(Seen::PerhapsOlder),
                Err(reason) if seen.is_err() => {
                    seen = Err(Missing::Wrong { name: name.clone(), reason, record: record.clone() });
                }
                Err(_) => {}
            }
        }
        seen
    }

    fn parameters(&self, text: &str, now: SystemTime) -> Result<Seen, String> {
        let (mut accounturi, mut policy, mut until) = (None, None, None);
        for parameter in text.split(';').map(str::trim).filter(|parameter| !parameter.is_empty()) {
            let (tag, value) = parameter.split_once('=').ok_or_else(|| format!("{parameter:?} has no ="))?;
            let place = match tag.trim().to_ascii_lowercase().as_str() {
                "accounturi" => &mut accounturi,
                "policy" => &mut policy,
                "persistuntil" => &mut until,
                _ => continue,
            };
            if place.replace(value.trim()).is_some() {
                return Err(format!("it has {} twice", tag.trim()));
            }
        }
        if let Some(text) = until {
            let seconds = text.parse().map_err(|_| "persistUntil is no number of seconds".to_owned())?;
            if UNIX_EPOCH.checked_add(Duration::from_secs(seconds)).is_some_and(|until| until <= now) {
                return Err("persistUntil is over".into());
            }
        }
        if self.wildcard && !policy.is_some_and(|policy| policy.eq_ignore_ascii_case("wildcard")) {
            return Err("it has no policy=wildcard, and a wildcard is wanted".into());
        }
        let uri = accounturi.ok_or("it has no accounturi")?;
        let of_ca = |prefix: &String| uri.starts_with(prefix.as_str());
        match self.accounturis.iter().any(|ours| ours == uri) {
            true => Ok(Seen::Good),
            false if self.hash_prefix.as_ref().is_some_and(of_ca) => Ok(Seen::PerhapsOlder),
            false => Err(format!("its accounturi {uri:?} is not this account's")),
        }
    }
}

#[cfg(test)]
mod tests;
