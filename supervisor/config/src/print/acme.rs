//! `[acme]`, with everything below it as inline tables.

use super::{Out, inline, list, path, quoted, word};
use crate::sections::acme::{BEFORE_FIRST, DEFAULT_ISSUER, print_server};
use crate::value::duration;
use crate::{
    Acme, AcmeDns, AcmeIssuer, AcmeRedis, AcmeStorage, DnsHook, DnsProvider, ExternalAccount, Rfc2136,
};

pub(super) fn acme(out: &mut Out, acme: &Acme) {
    out.table("[acme]");
    let (plain, others) = match acme.issuers.split_first() {
        Some((first, others)) if first.name == DEFAULT_ISSUER => (Some(first), others),
        _ => (None, acme.issuers.as_slice()),
    };
    for (key, value) in plain.into_iter().flat_map(issuer).skip(1) {
        out.key(key, value);
    }
    out.key("before_first", word(acme.before_first, &BEFORE_FIRST));
    match acme.renew_before {
        Some(time) => out.time("renew_before", time),
        None => out.comment("renew_before", "(a third)", "of each certificate's life"),
    }
    out.key("max_orders_per_hour", acme.max_orders_per_hour);
    out.key("max_concurrent_orders", acme.max_concurrent_orders);
    out.key("issuers", list(others.iter().map(|other| table(&issuer(other)))));
    match &acme.dns {
        Some(settings) => out.key("dns", dns(settings)),
        None => out.comment("dns", "(none)", "no records are made"),
    }
    out.key("storage", storage(&acme.storage));
}

/// Its keys, the name first.
fn issuer(issuer: &AcmeIssuer) -> Vec<(&'static str, String)> {
    let mut keys = vec![
        ("name", quoted(&issuer.name)),
        ("directory", quoted(&issuer.directory)),
        ("contact", list(issuer.contact.iter().map(|contact| quoted(contact)))),
        ("terms_of_service_agreed", "true".to_owned()),
        ("challenge", quoted(issuer.challenge.name())),
        ("key_type", quoted(issuer.key_type.name())),
    ];
    keys.extend(issuer.profile.as_ref().map(|profile| ("profile", quoted(profile))));
    keys.extend(issuer.ca_file.as_ref().map(|file| ("ca_file", path(file))));
    keys.extend(issuer.external_account.as_ref().map(|account| ("external_account", external(account))));
    keys
}

fn external(account: &ExternalAccount) -> String {
    inline([("key_id_file", path(&account.key_id_file)), ("hmac_key_file", path(&account.hmac_key_file))])
}

fn dns(dns: &AcmeDns) -> String {
    let mut keys = match &dns.provider {
        DnsProvider::Rfc2136(update) => updates(update),
        DnsProvider::Hook(hook) => hooked(hook),
    };
    keys.push(("propagation_timeout", quoted(&duration::print(dns.propagation_timeout))));
    table(&keys)
}

fn updates(update: &Rfc2136) -> Vec<(&'static str, String)> {
    let mut keys = vec![
        ("provider", quoted("rfc2136")),
        ("server", quoted(&print_server(&update.host, update.port))),
        ("key_file", path(&update.key_file)),
        ("ttl", quoted(&duration::print(update.ttl))),
    ];
    keys.extend(update.key_name.as_ref().map(|name| ("key_name", quoted(name))));
    keys.extend(update.algorithm.map(|algorithm| ("algorithm", quoted(algorithm.name()))));
    keys.extend(update.zone.as_ref().map(|zone| ("zone", quoted(zone))));
    keys
}

fn hooked(hook: &DnsHook) -> Vec<(&'static str, String)> {
    let mut keys = vec![
        ("provider", quoted("hook")),
        ("socket", path(&hook.socket)),
        ("timeout", quoted(&duration::print(hook.timeout))),
    ];
    keys.extend(hook.zone.as_ref().map(|zone| ("zone", quoted(zone))));
    keys
}

fn storage(storage: &AcmeStorage) -> String {
    match storage {
        AcmeStorage::Folder(folder) => inline([("path", path(folder))]),
        AcmeStorage::Redis(server) => inline([("redis", redis(server))]),
    }
}

fn redis(redis: &AcmeRedis) -> String {
    let mut keys = vec![
        ("address", quoted(&print_server(&redis.host, redis.port))),
        ("tls", redis.tls.to_string()),
        ("seal_key_file", list(redis.seal_key_files.iter().map(|file| path(file)))),
        ("prefix", quoted(&redis.prefix)),
        ("database", redis.database.to_string()),
        ("timeout", quoted(&duration::print(redis.timeout))),
    ];
    keys.extend(redis.ca_file.as_ref().map(|file| ("ca_file", path(file))));
    keys.extend(redis.username.as_ref().map(|user| ("username", quoted(user))));
    keys.extend(redis.password_file.as_ref().map(|file| ("password_file", path(file))));
    table(&keys)
}

fn table(entries: &[(&str, String)]) -> String {
    let entries: Vec<_> = entries.iter().map(|(key, value)| format!("{key} = {value}")).collect();
    format!("{{ {} }}", entries.join(", "))
}
