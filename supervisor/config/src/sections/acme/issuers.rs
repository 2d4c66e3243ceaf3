//! The CAs: the keys of `[acme]` itself, and `[[acme.issuers]]`.
//!
//! Owns which keys an issuer takes over from `[acme]`: those that are the operator's own ways, never
//! those that belong to one CA.

use super::{CHALLENGES, KEY_TYPES, file, needed_file};
use crate::flaw::{Flaw, show};
use crate::schema;
use crate::section::{At, Read, Section};
use crate::sections::Names;
use crate::sink::Place;
use crate::value::{self, host};
use crate::{AcmeChallenge, AcmeIssuer, ExternalAccount, KeyType};

/// What the keys of `[acme]` itself are called.
pub(crate) const DEFAULT: &str = "default";

const DIRECTORY: &str =
    "the URL of the CA's directory, such as \"https://acme-v02.api.letsencrypt.org/directory\"";
const CONTACT: &str = "a list such as [\"mailto:ops@example.com\"]";

/// What an issuer takes over.
struct Ways {
    contact: Vec<String>,
    /// `None` where a flaw hides it.
    challenge: Option<AcmeChallenge>,
    key_type: KeyType,
}

/// How one issuer has control over names shown, whatever is wrong with the rest of it.
pub(super) struct Way {
    pub(super) name: Option<String>,
    pub(super) challenge: Option<AcmeChallenge>,
    /// Where that is said, else where `[acme]` starts.
    pub(super) at: Place,
}

/// The issuers, never none, and the way of each.
pub(super) fn read(acme: &Section<'_>) -> (Option<Vec<AcmeIssuer>>, Vec<Way>) {
    let own =
        Ways { contact: Vec::new(), challenge: Some(AcmeChallenge::Http01), key_type: KeyType::EcdsaP256 };
    let own = ways(acme, &own);
    let tables = acme.tables("issuers", &schema::ACME_ISSUER);
    let mut names = Names::new("issuer");
    let (mut issuers, mut found) = (Vec::new(), Vec::new());
    let plain = acme.has("directory") || acme.may_hide("directory");
    if plain || !acme.has("issuers") {
        let name = At { at: acme.at, value: DEFAULT.to_owned() };
        names.enter(acme, 0, Some(&name));
        found.push(way(Some(DEFAULT.to_owned()), &own, acme.place("challenge")));
        issuers.push(issuer(acme, DEFAULT.to_owned(), &own));
    } else {
        only_ways(acme);
    }
    for (index, table) in tables.iter().enumerate() {
        let name = table.require("name", "a name for logs and metrics", value::name);
        names.enter(table, index, name.as_ref());
        let ways = ways(table, &own);
        let name = name.map(|name| name.value);
        let at = if table.has("challenge") { table } else { acme }.place("challenge");
        found.push(way(name.clone(), &ways, at));
        issuers.push(issuer(table, name.clone().unwrap_or_default(), &ways).filter(|_| name.is_some()));
    }
    let issuers: Option<Vec<_>> = issuers.into_iter().collect();
    (issuers.filter(|issuers| !issuers.is_empty()), found)
}

fn way(name: Option<String>, ways: &Ways, at: Place) -> Way {
    Way { name, challenge: ways.challenge, at }
}

/// Without a directory of its own, keys of one CA would silently do nothing in `[acme]`.
fn only_ways(acme: &Section<'_>) {
    for key in ["terms_of_service_agreed", "profile", "ca_file", "external_account"] {
        if acme.has(key) {
            let flaw = Flaw::new("is about one CA, and [acme] names none with directory");
            let flaw = Flaw { message: format!("{key} {}", flaw.message), help: flaw.help };
            acme.run().sink.here(acme.place(key), flaw.help(format!("move {key} to its [[acme.issuers]]")));
        }
    }
}

fn ways(section: &Section<'_>, above: &Ways) -> Ways {
    let contact = section.list("contact", CONTACT, contact).good();
    let contact = contact.map(|list| list.value.into_iter().map(|at| at.value).collect());
    let challenge = section.read("challenge", "a word", |text| value::word(text, &CHALLENGES));
    let key_type = section.read("key_type", "a word", |text| value::word(text, &KEY_TYPES));
    Ways {
        contact: contact.unwrap_or_else(|| above.contact.clone()),
        challenge: match challenge {
            Read::Absent => above.challenge,
            read => read.good().map(|at| at.value),
        },
        key_type: key_type.or(above.key_type),
    }
}

fn issuer(section: &Section<'_>, name: String, ways: &Ways) -> Option<AcmeIssuer> {
    let directory = section.require("directory", DIRECTORY, directory);
    agreed(section);
    let profile = section.read("profile", "the name of a profile", profile).good();
    let ca_file = file(section, "ca_file").good();
    let external = external_account(section);
    Some(AcmeIssuer {
        name,
        directory: directory?.value,
        contact: ways.contact.clone(),
        challenge: ways.challenge?,
        profile: profile.map(|at| at.value),
        key_type: ways.key_type,
        ca_file: ca_file.map(|at| at.value),
        external_account: external?,
    })
}

/// RFC 8555 section 7.3: no account without it, and nobody but the operator can say so.
fn agreed(section: &Section<'_>) {
    let flaw = Flaw::new("the CA issues only to those who agree to its terms of service");
    let flaw = flaw.help("read them, and set terms_of_service_agreed = true");
    match section.boolean("terms_of_service_agreed") {
        Read::Good(At { value: true, .. }) | Read::Flawed => {}
        Read::Good(At { at, value: false }) => section.here("terms_of_service_agreed", at, flaw),
        Read::Absent if !section.may_hide("terms_of_service_agreed") => {
            let message = format!("terms_of_service_agreed: {}", flaw.message);
            section.run().sink.absence(section.place("directory"), Flaw { message, help: flaw.help });
        }
        Read::Absent => {}
    }
}

/// `Some(None)` is none; `None` is a flawed one.
fn external_account(section: &Section<'_>) -> Option<Option<ExternalAccount>> {
    if !section.has("external_account") {
        return Some(None);
    }
    let table = section.optional("external_account", &schema::EXTERNAL_ACCOUNT)?;
    let id = needed_file(&table, "key_id_file", "the path of a file that holds the key id");
    let hmac = needed_file(&table, "hmac_key_file", "the path of a file that holds the HMAC key");
    Some(Some(ExternalAccount { key_id_file: id?, hmac_key_file: hmac? }))
}

/// RFC 8555 section 6.1: ACME is spoken over HTTPS only.
fn directory(text: &str) -> Result<String, Flaw> {
    let flaw = |what: &str| Flaw::new(format!("{} {what}", show(text)));
    let Some(rest) = text.strip_prefix("https://") else {
        return Err(
            flaw("is not an https URL").help("write https://, the host and the path of the directory")
        );
    };
    if text.len() > 2048
        || !text.bytes().all(|byte| byte.is_ascii_graphic())
        || rest.contains(['#', '\\', '"'])
    {
        return Err(flaw("is not a URL").help("write it as the CA documents it"));
    }
    let authority = rest.split(['/', '?']).next().unwrap_or(rest);
    if authority.contains('@') {
        return Err(flaw("has a user name in it").help("accounts are bound by external_account"));
    }
    authority_is_good(authority).map_err(|_| flaw("has no valid host").help("write https://host/path"))?;
    Ok(text.to_owned())
}

fn authority_is_good(authority: &str) -> Result<(), Flaw> {
    let bad = || Flaw::new("no host");
    let (host, port) = match authority.strip_prefix('[').map(|rest| rest.split_once(']')) {
        Some(Some((v6, rest))) => {
            v6.parse::<std::net::Ipv6Addr>().map_err(|_| bad())?;
            (None, rest.strip_prefix(':').or_else(|| (!rest.is_empty()).then_some("")))
        }
        Some(None) => return Err(bad()),
        None => match authority.split_once(':') {
            Some((host, port)) => (Some(host), Some(port)),
            None => (Some(authority), None),
        },
    };
    if let Some(host) = host.filter(|host| host.parse::<std::net::Ipv4Addr>().is_err()) {
        host::name(host)?;
    }
    match port.map(str::parse::<u16>) {
        None => Ok(()),
        Some(Ok(port)) if port > 0 => Ok(()),
        Some(_) => Err(bad()),
    }
}

/// RFC 8555 section 7.3: one address to a URL, and no header fields.
fn contact(text: &str) -> Result<String, Flaw> {
    let flaw = |what: &str| Flaw::new(format!("{} {what}", show(text)));
    let Some(address) = text.strip_prefix("mailto:") else {
        let flaw = flaw("is not a mailto URL");
        return Err(match text.contains('@') && !text.contains(':') {
            true => flaw.help(format!("write {}", show(&format!("mailto:{text}")))),
            false => flaw.help("CAs write to mail addresses: \"mailto:ops@example.com\""),
        });
    };
    let plain = |c: char| c.is_ascii_graphic() && !matches!(c, ',' | '?' | '<' | '>' | '"');
    match address.rsplit_once('@') {
        Some((user, domain)) if !user.is_empty() && !domain.is_empty() && address.chars().all(plain) => {
            Ok(text.to_owned())
        }
        _ => Err(flaw("is not one mail address").help("write one address to an entry of the list")),
    }
}

fn profile(text: &str) -> Result<String, Flaw> {
    if !text.is_empty() && text.len() <= 64 && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(text.to_owned());
    }
    Err(Flaw::new(format!("{} is not the name of a profile", show(text)))
        .help("the CA documents its profiles, such as \"shortlived\""))
}
