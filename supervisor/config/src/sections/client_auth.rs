//! `[vhosts.client_auth]`, `client_certificate` of routes and `client_identity`.
//!
//! Owns the rules that a vhost which asks for certificates says whose it believes, and that no route
//! looks for what its vhost never asks for; opens no file.

use std::path::PathBuf;

use toml::de::DeValue;

use super::tls::resolved;
use crate::flaw::{Flaw, listed, show};
use crate::schema;
use crate::section::{At, Read, Section};
use crate::value::{self, field, identity, path};
use crate::{
    ClientAuth, ClientAuthMode, ClientCondition, ClientIdentity, ClientMatch, IdentitySignature, Policy,
    Revocation,
};

/// A root, two CAs below it, and room for one more of a cross-signed root.
const VERIFY_DEPTH: u32 = 4;
const SANS: &str = "a list such as [\"app.example\", \"spiffe://example/app\"]";
const FINGERPRINTS: &str = "a list of SHA-256 fingerprints";
const FILES: &str = "a list such as [\"clients.crl\"]";
const MODES: [(&str, Option<ClientAuthMode>); 3] = [
    ("off", None),
    ("optional", Some(ClientAuthMode::Optional)),
    ("required", Some(ClientAuthMode::Required)),
];
const POLICIES: [(&str, bool); 2] = [("refuse", false), ("allow", true)];
const DEPTHS: [(&str, bool); 2] = [("chain", false), ("leaf", true)];

/// The table of a vhost. `Ok(None)` asks for nothing; `Err` is flawed.
pub(crate) fn read(vhost: &Section<'_>) -> Result<Option<ClientAuth>, ()> {
    let Some(section) = vhost.optional("client_auth", &schema::CLIENT_AUTH) else {
        return if vhost.has("client_auth") || vhost.may_hide("client_auth") { Err(()) } else { Ok(None) };
    };
    let mode =
        section.require("mode", "\"off\", \"optional\" or \"required\"", |text| value::word(text, &MODES));
    let ca = section.read("ca", "the path of a PEM file", path::file);
    let crl = files(&section);
    let revocation = revocation(&section);
    let depth = section.number("verify_depth", 0..=6).or(VERIFY_DEPTH);
    let allow = ClientMatch {
        san: list(&section, "allow_san", SANS, identity::san),
        fingerprint: list(&section, "allow_fingerprint", FINGERPRINTS, identity::fingerprint),
    };
    let Some(mode) = mode.ok_or(())?.value else { return Ok(None) };
    if matches!(ca, Read::Absent) {
        section.missing("ca", "the path of a PEM file with the CAs that vouch for clients");
    }
    let ca = resolved(&section, ca.good().ok_or(())?);
    let verify_depth = u8::try_from(depth).unwrap_or(u8::MAX);
    Ok(Some(ClientAuth { mode, ca, crl, revocation, verify_depth, allow }))
}

fn files(section: &Section<'_>) -> Vec<PathBuf> {
    let files = section.list("crl", FILES, path::file).or(Vec::new());
    files.into_iter().map(|file| resolved(section, file)).collect()
}

fn revocation(section: &Section<'_>) -> Revocation {
    let word = |key, words: &'static [(&str, bool)]| {
        let read = section.read(key, "a word", |text| value::word(text, words));
        if let (Read::Good(read), false) = (&read, section.has("crl") || section.may_hide("crl")) {
            let flaw = Flaw::new("there is no revocation list it could hold for");
            section.here(key, read.at, flaw.help("add crl, or remove it"));
        }
        read.or(false)
    };
    Revocation {
        leaf_only: word("crl_depth", &DEPTHS),
        allow_unknown: word("on_unknown_revocation", &POLICIES),
        allow_expired: word("on_expired_crl", &POLICIES),
    }
}

/// A list that is not empty where it is set: an empty one would let nobody in, or everybody.
fn list<T>(
    section: &Section<'_>,
    key: &'static str,
    expected: &str,
    check: impl Fn(&str) -> Result<T, Flaw>,
) -> Vec<T> {
    let Some(list) = section.list(key, expected, check).good() else { return Vec::new() };
    if list.value.is_empty() {
        section.here(key, list.at, Flaw::new("the list is empty").help("leave it out to ask for none"));
    }
    list.value.into_iter().map(|item| item.value).collect()
}

/// `client_certificate` of a route whose vhost `asks` for certificates.
pub(crate) fn condition(section: &Section<'_>, asks: bool) -> Option<ClientCondition> {
    let node = section.any("client_certificate")?;
    if !asks {
        let flaw = Flaw::new("its vhost asks no client for a certificate");
        section.here("client_certificate", node.at, flaw.help("add [vhosts.client_auth], or remove it"));
    }
    match node.value {
        DeValue::String(text) => {
            let words = [("present", ()), ("absent", ())];
            section.judge("client_certificate", node.at, value::word(text, &words))?;
            Some(if &**text == "present" { ClientCondition::Present } else { ClientCondition::Absent })
        }
        DeValue::Table(table) => {
            let inner = section.inline(node, table, &schema::CLIENT_CONDITION);
            let wanted = ClientMatch {
                san: list(&inner, "san", SANS, identity::san),
                fingerprint: list(&inner, "fingerprint", FINGERPRINTS, identity::fingerprint),
            };
            if inner.is_empty() {
                let flaw = Flaw::new("the table is empty");
                section.here(
                    "client_certificate",
                    node.at,
                    flaw.help("write \"present\" for any certificate"),
                );
            }
            Some(ClientCondition::Is(wanted))
        }
        _ => {
            section.wrong_type("client_certificate", "\"present\", \"absent\" or a table", node, None);
            None
        }
    }
}

/// `client_identity` of a vhost or route.
pub(crate) fn identity(section: &Section<'_>) -> Read<Option<ClientIdentity>> {
    super::policies::table_or_off(section, "client_identity", &schema::CLIENT_IDENTITY, told)
}

/// What a vhost or route that asks for no certificate tells of one, unless it is told of around it too. What
/// is signed tells something all the same: where a request comes from.
pub(crate) fn check_asked(section: &Section<'_>, here: &Policy, around: &Policy) {
    let told = here.client_identity.as_deref().is_some_and(|identity| identity.signature.is_none());
    if told && section.has("client_identity") && here.client_identity != around.client_identity {
        let flaw = Flaw::new("its vhost asks no client for a certificate, so there is nothing to tell");
        let help = "add [vhosts.client_auth], or remove client_identity";
        section.here("client_identity", section.place("client_identity"), flaw.help(help));
    }
}

fn told(section: &Section<'_>) -> Option<ClientIdentity> {
    let headers = section.list("headers", "a list such as [\"client-cert\"]", header);
    let names: Vec<_> = match &headers {
        Read::Good(headers) => headers.value.iter().map(|header| header.value).collect(),
        Read::Absent | Read::Flawed => Vec::new(),
    };
    let (certificate, chain) = (names.contains(&CERTIFICATE), names.contains(&CHAIN));
    if let (true, false, Read::Good(headers)) = (chain, certificate, &headers) {
        let flaw = Flaw::new("client-cert-chain never goes without client-cert (RFC 9440 section 2.3)");
        section.here("headers", headers.at, flaw.help("add \"client-cert\""));
    }
    let [subject_header, san_header, fingerprint_header] =
        ["subject_header", "san_header", "fingerprint_header"].map(|key| named(section, key));
    check_apart(section, [&subject_header, &san_header, &fingerprint_header]);
    let value = |name: Option<At<String>>| name.map(|name| name.value);
    let told = ClientIdentity {
        certificate,
        chain,
        subject_header: value(subject_header),
        san_header: value(san_header),
        fingerprint_header: value(fingerprint_header),
        signature: signature(section),
    };
    if told == ClientIdentity::default() && section.is_empty() {
        let flaw = Flaw::new("client_identity tells nothing");
        section.run().sink.here(section.at, flaw.help("add headers = [\"client-cert\"], or write \"off\""));
    }
    Some(told)
}

fn header(text: &str) -> Result<&'static str, Flaw> {
    let known = [CERTIFICATE, CHAIN];
    known.into_iter().find(|name| name.eq_ignore_ascii_case(text)).ok_or_else(|| {
        let flaw = Flaw::new(format!("{} is not a field of RFC 9440", show(text)));
        flaw.help(format!(
            "known are {}; names of your own go into subject_header and the like",
            listed(known)
        ))
    })
}

fn named(section: &Section<'_>, key: &'static str) -> Option<At<String>> {
    section.read(key, "the name of a header field", own_name).good()
}

/// A field that means something already would be overwritten for every application behind it.
fn own_name(text: &str) -> Result<String, Flaw> {
    let name = field::end_to_end(text)?;
    if [CERTIFICATE, CHAIN, "signature", "signature-input"].contains(&name.as_str()) {
        return Err(Flaw::new(format!("{} has a meaning of its own", show(text))).help("name another field"));
    }
    Ok(name)
}

fn check_apart(section: &Section<'_>, names: [&Option<At<String>>; 3]) {
    let keys = ["subject_header", "san_header", "fingerprint_header"];
    let set: Vec<_> =
        keys.into_iter().zip(names).filter_map(|(key, name)| Some((key, name.as_ref()?))).collect();
    for (at, (key, name)) in set.iter().enumerate() {
        if let Some((first, _)) = set.iter().take(at).find(|(_, other)| other.value == name.value) {
            let flaw = Flaw::new(format!("{} is {first} already", show(&name.value)));
            section.here(key, name.at, flaw.help("give each a field of its own"));
        }
    }
}

fn signature(section: &Section<'_>) -> Option<IdentitySignature> {
    let key_file = section.read("sign_key_file", "the path of a file with the shared secret", path::file);
    let key_id = section.read("key_id", "a name", value::name);
    if let (Read::Absent, Read::Good(key_id)) = (&key_file, &key_id) {
        let flaw = Flaw::new("there is no key that it could be the name of");
        section.here("key_id", key_id.at, flaw.help("add sign_key_file, or remove it"));
    }
    let key_file = resolved(section, key_file.good()?);
    Some(IdentitySignature { key_file, key_id: key_id.or("fluxheim".to_owned()) })
}

const CERTIFICATE: &str = "client-cert";
const CHAIN: &str = "client-cert-chain";

/// The mode as the configuration writes it.
pub(crate) const fn mode(mode: ClientAuthMode) -> &'static str {
    match mode {
        ClientAuthMode::Optional => "optional",
        ClientAuthMode::Required => "required",
    }
}
