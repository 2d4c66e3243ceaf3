//! The one way from text to a [`Config`].
//!
//! Owns the order of steps and the rules that bind several tables; pure, so it can be fuzzed.

use std::path::PathBuf;

use crate::flaw::Flaw;
use crate::section::{Run, Section};
use crate::sections::vhosts::References;
use crate::sections::{
    acme, admin, hardening, limits, observe, policy, server, storage, tls, tracing, upstreams, vhosts,
};
use crate::sink::{Lines, Place, Sink};
use crate::value::pattern::Captures;
use crate::{Config, Mistakes, Policy, Profile, Source, VhostCertificate, schema, tree};

const START: Place = Place { file: 0, offset: 0 };
const CERTIFICATES: &str = "add [[tls.certificates]] with name, cert and key";
const MINIMUM: &str = "the least there must be is a listener: [server] with http = [\"0.0.0.0:8080\"]";

/// Reads a configuration that may be spread over several files.
///
/// Tables may have parts in several files, but no key stands twice; lists of tables are
/// concatenated in the order of `sources`. Touches nothing but its argument.
///
/// # Errors
/// Every mistake of all files, unless an earlier mistake may have caused it; never an empty list.
pub fn parse(sources: &[Source]) -> Result<Config, Mistakes> {
    parse_under(sources, None)
}

/// [`parse`] with a hardening profile named outside the files; it replaces theirs.
///
/// # Errors
/// Those of [`parse`].
pub fn parse_under(sources: &[Source], profile: Option<Profile>) -> Result<Config, Mistakes> {
    let sink = Sink::default();
    let config = read(sources, profile, &sink);
    match sink.into_mistakes(sources) {
        Some(mistakes) => Err(mistakes),
        None => Ok(config),
    }
}

/// The admin socket that `sources` name, whatever else is wrong with them: a proxy that runs can be asked all
/// the same.
#[must_use]
pub fn admin_socket(sources: &[Source]) -> Option<PathBuf> {
    read(sources, None, &Sink::default()).admin.socket
}

fn read(sources: &[Source], profile: Option<Profile>, sink: &Sink) -> Config {
    let trees: Vec<_> =
        sources.iter().enumerate().map(|(file, source)| tree::read(file, &source.text, sink)).collect();
    let parts: Vec<_> = trees.iter().enumerate().map(|(file, tree)| (file, tree.get_ref())).collect();
    let lines = sources.iter().map(|source| Lines::new(&source.text)).collect();
    let run = Run { sources, lines, sink };
    let root = Section::new(&run, &schema::ROOT, START, &parts);
    if parts.iter().all(|(_, table)| table.is_empty()) {
        sink.absence(START, Flaw::new("the configuration is empty").help(MINIMUM));
    }
    config(&root, profile)
}

fn config(root: &Section<'_>, profile: Option<Profile>) -> Config {
    if schema::ROOT.keys.iter().any(|key| root.may_hide(key)) {
        root.run().sink.mark_incomplete();
    }
    let server_table = root.table("server", &schema::SERVER);
    let (server, mut listeners) = server::read(&server_table);
    let hardening = hardening::read(&root.table("hardening", &schema::HARDENING), profile);
    let storage = storage::read(&root.table("storage", &schema::STORAGE));
    let tls_table = root.table("tls", &schema::TLS);
    let (tls, certificates) = tls::read(&tls_table);
    let certified = !certificates.is_empty() || tls_table.may_hide("certificates");
    let (acme, asking) = acme::read(root);
    let (upstreams, upstream_names) = upstreams::read(root);
    let references = References { certificates, upstreams: upstream_names };
    let limits = limits::read(&root.table("limits", &schema::LIMITS));
    let defaults = {
        let table = root.table("defaults", &schema::DEFAULTS);
        policy::read(&table, &Policy::under(&limits), &references.upstreams, &Captures::default())
    };
    let (vhosts, asks) = vhosts::read(root, &references, &defaults);
    let logging = observe::logging(&root.table("logging", &schema::LOGGING));
    let tracing = tracing::read(&root.table("tracing", &schema::TRACING), &references.upstreams);
    let metrics = observe::metrics(&root.table("metrics", &schema::METRICS), &mut listeners);
    let admin = admin::read(&root.table("admin", &schema::ADMIN));
    server::check_listeners(&server_table, &listeners);
    let config = Config {
        server,
        hardening,
        storage,
        tls,
        acme,
        upstreams,
        vhosts,
        defaults,
        limits,
        logging,
        tracing,
        metrics,
        admin,
    };
    check_listening(root, &server_table, &config, certified);
    check_redirects(root, &config);
    acme::check(root, &config, asking.as_ref());
    check_client_auth(root, &config, asks);
    config
}

/// Something listens, and what listens with TLS has a certificate.
fn check_listening(root: &Section<'_>, server: &Section<'_>, config: &Config, certified: bool) {
    let sink = root.run().sink;
    let hidden = server.may_hide("http") || server.may_hide("https");
    if config.server.http.is_empty() && config.server.https.is_empty() && !hidden && !root.is_empty() {
        sink.silence(server.at, Flaw::new("nothing listens").help(MINIMUM));
    }
    let ordered = config.vhosts.iter().any(|vhost| vhost.certificate == VhostCertificate::Acme);
    if !config.server.https.is_empty() && !certified && !ordered {
        let flaw = Flaw::new("https: there is no certificate to serve");
        sink.absence(server.place("https"), flaw.help(CERTIFICATES));
    }
}

/// Something answers where `redirect = "https"` leads: a listener here, or a proxy in front that is
/// believed when it says that the client came over TLS. Else the redirect would lead to itself for ever.
fn check_redirects(root: &Section<'_>, config: &Config) {
    let redirects = config.vhosts.iter().any(|vhost| vhost.redirect_to_https);
    if redirects && config.server.https.is_empty() && config.server.trusted_proxies.is_empty() {
        let flaw = Flaw::new("redirect = \"https\" leads nowhere: nothing listens with TLS");
        root.run().sink.silence(
            root.place("vhosts"),
            flaw.help("add https to [server], or trusted_proxies if something in front speaks TLS"),
        );
    }
}

/// A client can show its certificate to something: over plain HTTP there is no way to.
fn check_client_auth(root: &Section<'_>, config: &Config, asks: bool) {
    let told = config.defaults.client_identity.as_deref();
    if told.is_some_and(|told| told.signature.is_none()) && !asks && root.has("vhosts") {
        let flaw = Flaw::new(
            "client_identity: no vhost asks its clients for a certificate, so there is nothing to tell",
        );
        let help = "add client_auth to the [[vhosts]] that shall ask, or remove client_identity";
        root.run().sink.absence(root.place("defaults"), flaw.help(help));
    }
    if config.vhosts.iter().any(|vhost| vhost.client_auth.is_some()) && config.server.https.is_empty() {
        let flaw =
            Flaw::new("client_auth asks for certificates that nobody can show: nothing listens with TLS");
        root.run().sink.silence(
            root.place("vhosts"),
            flaw.help("add https to [server]; what a proxy in front says of a certificate is not believed"),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Schema;

    /// Text under which a key of `schema` can stand.
    fn opening(schema: &Schema) -> String {
        match schema.title {
            "the file" => String::new(),
            "an entry of http or https" => "[[server.http]]\n".to_owned(),
            "[[acme.issuers]]" => "[acme]\n[[acme.issuers]]\n".to_owned(),
            "an entry of servers" => "[[upstreams]]\n[[upstreams.servers]]\n".to_owned(),
            "access" | "security_headers" | "cors" | "basic_auth" | "jwt" | "forward_auth"
            | "client_identity" => {
                format!("[defaults.{}]\n", schema.title)
            }
            "[vhosts.client_auth]" => "[[vhosts]]\n[vhosts.client_auth]\n".to_owned(),
            "client_certificate of a route" => {
                "[[vhosts]]\n[[vhosts.routes]]\n[vhosts.routes.client_certificate]\n".to_owned()
            }
            "cache of forward_auth" => "[defaults.forward_auth.cache]\n".to_owned(),
            "jwks" => "[defaults.jwt.jwks]\n".to_owned(),
            "handshake_rate" => "[limits.handshake_rate]\n".to_owned(),
            "[upstreams.tls]" => "[[upstreams]]\n[upstreams.tls]\n".to_owned(),
            "[[vhosts.routes]]" => "[[vhosts]]\n[[vhosts.routes]]\n".to_owned(),
            "[vhosts.routes.static]" => "[[vhosts]]\n[[vhosts.routes]]\n[vhosts.routes.static]\n".to_owned(),
            "a rule of rate_limit" => "[[defaults.rate_limit]]\n".to_owned(),
            "redirect of a route" => "[[vhosts]]\n[[vhosts.routes]]\n[vhosts.routes.redirect]\n".to_owned(),
            "respond of a route" => "[[vhosts]]\n[[vhosts.routes]]\n[vhosts.routes.respond]\n".to_owned(),
            "rewrite of a route" => "[[vhosts]]\n[[vhosts.routes]]\n[vhosts.routes.rewrite]\n".to_owned(),
            "edits of header fields" => "[defaults.request_headers]\n".to_owned(),
            "limits of a vhost or route" => "[[vhosts]]\n[vhosts.limits]\n".to_owned(),
            title => match title.split_once(" of [[upstreams]]") {
                Some((table, _)) => format!("[[upstreams]]\n[upstreams.{table}]\n"),
                None => format!("{title}\n"),
            },
        }
    }

    #[test]
    fn finds_the_admin_socket_beside_mistakes() {
        let found =
            |text: &str| admin_socket(&[Source { path: "/etc/f.toml".into(), text: text.to_owned() }]);
        assert_eq!(found("[admin]\nsocket = \"run/s\"\n[limitz]\n"), Some("/etc/run/s".into()));
        assert_eq!(found("[server]\nhttp = [\"0.0.0.0:80\"]\n"), None);
        assert_eq!(found("[admin]\nsocket = \"run/\"\n"), None);
    }

    #[test]
    fn every_key_of_the_schema_is_read_and_its_type_checked() {
        for schema in schema::ALL {
            for key in schema.keys {
                let text = format!("{}{key} = 1979-05-27\n", opening(schema));
                let line = text.lines().count();
                let mistakes = parse(&[Source { path: "f".into(), text }]).unwrap_err().to_string();
                let told =
                    |said: &str| said.starts_with(&format!("f:{line}:")) && said.contains("found a date");
                assert!(mistakes.lines().any(told), "{key} in {}:\n{mistakes}", schema.title);
            }
        }
    }
}
