//! `[upstreams.tls]`: how an upstream proves who it is, and how we do.
//!
//! Owns the rule that a server's name is certain before anybody connects; opens no file.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::tls::{VERSIONS, resolved, version};
use crate::flaw::Flaw;
use crate::schema;
use crate::section::{Read, Section};
use crate::value::{host, path};
use crate::{ClientCertificate, TlsVersion, UpstreamHost, UpstreamServer, UpstreamTls};

/// The table of an upstream, if it has one.
pub(crate) fn read(upstream: &Section<'_>) -> Option<UpstreamTls> {
    if !upstream.has("tls") {
        return None;
    }
    let section = upstream.table("tls", &schema::UPSTREAM_TLS);
    let ca = section.read("ca", "the path of a PEM file", path::file);
    let min = section.read("min_version", VERSIONS, version);
    let name = section.read("server_name", "a host name or an IP address", server_name);
    let insecure = section.boolean("insecure_skip_verify").or(false);
    if let (true, Read::Good(ca)) = (insecure, &ca) {
        let flaw = Flaw::new("nobody is asked for a certificate of it beside insecure_skip_verify");
        section.here("ca", ca.at, flaw.help("remove insecure_skip_verify, or ca"));
    }
    let client = client(&section);
    Some(UpstreamTls {
        ca: ca.good().map(|ca| resolved(&section, ca)),
        client,
        server_name: name.good().map(|name| name.value),
        min_version: min.or(TlsVersion::V1_2),
        insecure_skip_verify: insecure,
    })
}

/// Both files or none.
fn client(section: &Section<'_>) -> Option<ClientCertificate> {
    let cert = section.read("cert", "the path of the PEM chain", path::file);
    let key = section.read("key", "the path of the PEM private key", path::file);
    match (&cert, &key) {
        (Read::Absent, Read::Absent) => return None,
        (Read::Absent, _) => section.missing("cert", "the path of the PEM chain that belongs to key"),
        (_, Read::Absent) => section.missing("key", "the path of the PEM private key of cert"),
        _ => {}
    }
    let (cert, key) = (cert.good()?, key.good()?);
    Some(ClientCertificate { cert: resolved(section, cert), key: resolved(section, key) })
}

fn server_name(text: &str) -> Result<UpstreamHost, Flaw> {
    match text.parse::<IpAddr>() {
        Ok(ip) => Ok(UpstreamHost::Ip(ip)),
        Err(_) => host::name(text).map(UpstreamHost::Name),
    }
}

/// A connection goes to an address; of several names, none could be told to be its own.
pub(crate) fn check_name(section: &Section<'_>, tls: &UpstreamTls, servers: &[UpstreamServer]) {
    let hosts: BTreeSet<_> = servers.iter().map(|server| &server.host).collect();
    let several = hosts.len() > 1 && hosts.iter().any(|host| matches!(host, UpstreamHost::Name(_)));
    // Who answers DNS would else decide which name is good enough.
    let service = hosts.iter().any(|host| matches!(host, UpstreamHost::Service(_)));
    if tls.server_name.is_none() && (several || service) {
        let flaw = Flaw::new("tls: the servers have several hosts, so the name to verify is not certain");
        let help =
            "set server_name to a name that all their certificates have, or make an upstream of each host";
        section.run().sink.here(section.place("tls"), flaw.help(help));
    }
}
