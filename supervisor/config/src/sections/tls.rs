//! `[tls]` and `[[tls.certificates]]`.
//!
//! Owns certificate names; opens no certificate (that is `fluxheim-trust` and the proxy).

use std::path::PathBuf;
use std::time::Duration;

use super::{Names, watch};
use crate::flaw::Flaw;
use crate::schema;
use crate::section::{At, Section};
use crate::value::{self, duration, path};
use crate::{Certificate, Tls, TlsVersion};

/// A handshake takes two round trips; much longer lets silent clients pile up.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// The table, and the names of its certificates.
pub(crate) fn read(section: &Section<'_>) -> (Tls, Names) {
    let versions = [("1.2", TlsVersion::V1_2), ("1.3", TlsVersion::V1_3)];
    let min = section.read("min_version", "\"1.2\" or \"1.3\"", |text| value::word(text, &versions));
    let handshake = section.read("handshake_timeout", duration::EXPECTED, duration::positive);
    let mut names = Names::new("certificate");
    let tables = section.tables("certificates", &schema::CERTIFICATE);
    let certificates =
        tables.iter().enumerate().filter_map(|(index, table)| certificate(table, index, &mut names));
    let certificates = certificates.collect();
    let tls = Tls {
        min_version: min.or(TlsVersion::V1_2),
        handshake_timeout: handshake.or(HANDSHAKE_TIMEOUT),
        certificates,
        watch: watch::read(section),
    };
    (tls, names)
}

fn certificate(section: &Section<'_>, index: usize, names: &mut Names) -> Option<Certificate> {
    let name = section.require("name", "a name to refer to it", certificate_name);
    names.enter(section, index, name.as_ref());
    let cert = section.require("cert", "the path of the PEM chain", path::file);
    let key = section.require("key", "the path of the PEM private key", path::file);
    Some(Certificate { name: name?.value, cert: resolved(section, cert?), key: resolved(section, key?) })
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
