//! `[tls]`, and what vhosts serve.

use super::{Out, list, path, quoted, word};
use crate::sections::tls::PROFILES;
use crate::*;

pub(super) fn tls(out: &mut Out, tls: &Tls) {
    out.table("[tls]");
    out.key("profile", word(tls.profile, &PROFILES));
    out.key("min_version", quoted(version(tls.min_version)));
    out.key("strict_sni", tls.strict_sni);
    out.time("handshake_timeout", tls.handshake_timeout);
    out.key("watch", tls.watch.enabled.to_string());
    out.time("watch_poll", tls.watch.poll);
    out.key("session_cache_size", tls.session_cache_size);
    out.key("offload_threads", tls.offload_threads);
    out.table("[tls.session_tickets]");
    out.key("enabled", tls.session_tickets.enabled);
    match &tls.session_tickets.key_file {
        Some(file) => out.key("key_file", path(file)),
        None => out.comment("key_file", "(none)", "keys of its own, in memory"),
    }
    out.time("rotation", tls.session_tickets.rotation);
    for certificate in &tls.certificates {
        out.table("[[tls.certificates]]");
        out.key("name", quoted(&certificate.name));
        out.key("cert", path(&certificate.cert));
        out.key("key", path(&certificate.key));
        match &certificate.ocsp {
            Some(file) => out.key("ocsp", path(file)),
            None => out.comment("ocsp", "(none)", "no OCSP response is sent along"),
        }
    }
}

pub(super) const fn version(version: TlsVersion) -> &'static str {
    match version {
        TlsVersion::V1_2 => "1.2",
        TlsVersion::V1_3 => "1.3",
    }
}

pub(super) fn of_vhost(out: &mut Out, certificate: &VhostCertificate, config: &Config) {
    let name = |index: &usize| config.tls.certificates.get(*index).map(|own| quoted(&own.name));
    match certificate {
        VhostCertificate::ByName => out.comment("certificate", "(any)", "whichever fits the name"),
        VhostCertificate::Own(one) if one.len() == 1 => {
            out.key("certificate", one.iter().filter_map(name).collect::<String>());
        }
        VhostCertificate::Own(indices) => out.key("certificate", list(indices.iter().filter_map(name))),
        VhostCertificate::Acme => out.key("certificate", quoted("acme")),
    }
}
