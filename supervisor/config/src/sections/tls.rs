//! `[tls]`, `[tls.session_tickets]` and `[[tls.certificates]]`.
//!
//! Owns defaults, ranges and certificate names; opens no certificate (that is `fluxheim-trust` and the proxy).

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::{Names, watch};
use crate::flaw::{Flaw, show};
use crate::schema;
use crate::section::{At, Section};
use crate::value::{self, duration, path};
use crate::{Certificate, SessionTickets, Tls, TlsProfile, TlsVersion, Watch};

/// A handshake takes two round trips; much longer lets silent clients pile up.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// A ticket that is good for longer would be a key that is kept for longer; RFC 8446 section 4.6.1 allows
/// no more than a week.
const ROTATION: RangeInclusive<Duration> = Duration::from_secs(60)..=Duration::from_secs(7 * 86_400);
const ROTATION_DEFAULT: Duration = Duration::from_secs(12 * 3600);
/// Each takes a few hundred bytes.
const CACHED: RangeInclusive<u32> = 0..=1_048_576;
const THREADS: RangeInclusive<u32> = 0..=1024;

pub(crate) const PROFILES: [(&str, TlsProfile); 2] =
    [("intermediate", TlsProfile::Intermediate), ("modern", TlsProfile::Modern)];

impl Default for Tls {
    fn default() -> Self {
        Self {
            profile: TlsProfile::Intermediate,
            min_version: TlsProfile::Intermediate.min_version(),
            strict_sni: false,
            handshake_timeout: HANDSHAKE_TIMEOUT,
            session_cache_size: 0,
            session_tickets: SessionTickets { enabled: true, key_file: None, rotation: ROTATION_DEFAULT },
            offload_threads: 0,
            watch: Watch::default(),
            certificates: Vec::new(),
        }
    }
}

/// The table, and the names of its certificates.
pub(crate) fn read(section: &Section<'_>) -> (Tls, Names) {
    let default = Tls::default();
    let profile =
        section.read("profile", "\"intermediate\" or \"modern\"", |text| value::word(text, &PROFILES));
    let profile = profile.or(default.profile);
    let count =
        |key, range| section.number(key, range).good().and_then(|count| usize::try_from(count.value).ok());
    let handshake = section.read("handshake_timeout", duration::EXPECTED, duration::positive);
    let mut names = Names::new("certificate");
    let tables = section.tables("certificates", &schema::CERTIFICATE);
    let certificates =
        tables.iter().enumerate().filter_map(|(index, table)| certificate(table, index, &mut names));
    let certificates = certificates.collect();
    let tls = Tls {
        profile,
        min_version: min_version(section, profile),
        strict_sni: section.boolean("strict_sni").or(default.strict_sni),
        handshake_timeout: handshake.or(default.handshake_timeout),
        session_cache_size: count("session_cache_size", CACHED).unwrap_or(default.session_cache_size),
        session_tickets: session_tickets(
            &section.table("session_tickets", &schema::SESSION_TICKETS),
            default.session_tickets,
        ),
        offload_threads: count("offload_threads", THREADS).unwrap_or(default.offload_threads),
        certificates,
        watch: watch::read(section),
    };
    (tls, names)
}

/// What a profile has not, no other key brings back.
fn min_version(section: &Section<'_>, profile: TlsProfile) -> TlsVersion {
    let read = section.read("min_version", VERSIONS, version);
    let Some(At { at, value }) = read.good() else { return profile.min_version() };
    if value < profile.min_version() {
        let flaw = Flaw::new("\"1.2\" is below what profile = \"modern\" speaks");
        section.here("min_version", at, flaw.help("remove it, or choose profile = \"intermediate\""));
    }
    value
}

pub(crate) const VERSIONS: &str = "\"1.2\" or \"1.3\"";

/// `1.2` or `1.3`; other programs write more around it.
pub(crate) fn version(text: &str) -> Result<TlsVersion, Flaw> {
    let versions = [("1.2", TlsVersion::V1_2), ("1.3", TlsVersion::V1_3)];
    let bare = text.to_ascii_lowercase().replace('_', ".");
    let bare =
        bare.trim_start_matches(|c: char| c.is_ascii_alphabetic()).trim_start_matches([' ', '.', '-', 'v']);
    match bare {
        "1.2" | "1.3" if bare != text => {
            Err(Flaw::new(format!("{} is written without TLS", show(text))).help(format!("write \"{bare}\"")))
        }
        "1" | "1.0" | "1.1" | "2" | "3" | "2.0" | "3.0" => {
            let flaw = Flaw::new(format!("{} is not spoken any more (RFC 8996)", show(text)));
            Err(flaw.help(format!("write {VERSIONS}")))
        }
        _ => value::word(text, &versions),
    }
}

fn session_tickets(section: &Section<'_>, default: SessionTickets) -> SessionTickets {
    let key_file = section.read("key_file", "the path of a file of keys", path::file).good();
    SessionTickets {
        enabled: section.boolean("enabled").or(default.enabled),
        key_file: key_file.map(|path| resolved(section, path)),
        rotation: section.read("rotation", duration::EXPECTED, rotation).or(default.rotation),
    }
}

fn rotation(text: &str) -> Result<Duration, Flaw> {
    let rotation = duration::positive(text)?;
    if ROTATION.contains(&rotation) {
        return Ok(rotation);
    }
    Err(Flaw::new(format!("{} is out of range", show(text))).help("choose 1m to 7d"))
}

fn certificate(section: &Section<'_>, index: usize, names: &mut Names) -> Option<Certificate> {
    let name = section.require("name", "a name to refer to it", certificate_name);
    names.enter(section, index, name.as_ref());
    let cert = section.require("cert", "the path of the PEM chain", path::file);
    let key = section.require("key", "the path of the PEM private key", path::file);
    let ocsp = section.read("ocsp", "the path of an OCSP response", path::file).good();
    Some(Certificate {
        name: name?.value,
        cert: resolved(section, cert?),
        key: resolved(section, key?),
        ocsp: ocsp.map(|path| resolved(section, path)),
    })
}

fn certificate_name(text: &str) -> Result<String, Flaw> {
    if text == "acme" {
        return Err(Flaw::new("the name \"acme\" is reserved").help("choose another name"));
    }
    value::name(text)
}

/// `path` against the folder of the file it stands in.
pub(crate) fn resolved(section: &Section<'_>, path: At<PathBuf>) -> PathBuf {
    let source = section.run().sources.get(path.at.file);
    match source.and_then(|source| source.path.parent()) {
        Some(folder) => folder.join(path.value),
        None => path.value,
    }
}
