//! Client certificates as text.

use super::{list, path, quoted};
use crate::sections::client_auth::mode;
use crate::{ClientAuth, ClientCondition, ClientIdentity, ClientMatch};

/// `client_auth` of a vhost as an inline table.
pub(super) fn client_auth(auth: Option<&ClientAuth>) -> String {
    let Some(auth) = auth else { return table(&[("mode", quoted("off"))]) };
    let allowed = |allowed: bool| quoted(if allowed { "allow" } else { "refuse" });
    let mut entries = vec![
        ("mode", quoted(mode(auth.mode))),
        ("ca", path(&auth.ca)),
        ("verify_depth", auth.verify_depth.to_string()),
    ];
    if !auth.crl.is_empty() {
        entries.extend([
            ("crl", list(auth.crl.iter().map(|file| path(file)))),
            ("crl_depth", quoted(if auth.revocation.leaf_only { "leaf" } else { "chain" })),
            ("on_unknown_revocation", allowed(auth.revocation.allow_unknown)),
            ("on_expired_crl", allowed(auth.revocation.allow_expired)),
        ]);
    }
    entries.extend(wanted(&auth.allow, "allow_san", "allow_fingerprint"));
    table(&entries)
}

/// `client_certificate` of a route.
pub(super) fn condition(condition: &ClientCondition) -> String {
    match condition {
        ClientCondition::Present => quoted("present"),
        ClientCondition::Absent => quoted("absent"),
        ClientCondition::Is(certificate) => table(&wanted(certificate, "san", "fingerprint")),
    }
}

/// `client_identity` of a vhost or route.
pub(super) fn identity(told: &ClientIdentity) -> String {
    let headers = [(told.certificate, "client-cert"), (told.chain, "client-cert-chain")];
    let headers = headers.into_iter().filter(|(sent, _)| *sent).map(|(_, name)| quoted(name));
    let names = [
        ("subject_header", &told.subject_header),
        ("san_header", &told.san_header),
        ("fingerprint_header", &told.fingerprint_header),
    ];
    let mut entries = vec![("headers", list(headers))];
    entries.extend(names.into_iter().filter_map(|(key, name)| Some((key, quoted(name.as_ref()?)))));
    if let Some(signature) = &told.signature {
        entries.extend([("sign_key_file", path(&signature.key_file)), ("key_id", quoted(&signature.key_id))]);
    }
    table(&entries)
}

fn wanted(
    certificate: &ClientMatch,
    san: &'static str,
    fingerprint: &'static str,
) -> Vec<(&'static str, String)> {
    let ClientMatch { san: sans, fingerprint: fingerprints } = certificate;
    let mut entries = Vec::new();
    if !sans.is_empty() {
        entries.push((san, list(sans.iter().map(|name| quoted(&name.to_string())))));
    }
    if !fingerprints.is_empty() {
        entries.push((fingerprint, list(fingerprints.iter().map(|one| quoted(&one.to_string())))));
    }
    entries
}

fn table(entries: &[(&str, String)]) -> String {
    let entries = entries.iter().map(|(key, value)| format!("{key} = {value}"));
    format!("{{ {} }}", entries.collect::<Vec<_>>().join(", "))
}
