//! `[acme]` of every shape that can be written.

use std::net::IpAddr;
use std::time::Duration;

use fluxheim_config::*;
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::{duration, file};

fn host() -> impl Strategy<Value = UpstreamHost> {
    prop_oneof![
        any::<IpAddr>().prop_map(UpstreamHost::Ip),
        "[a-z0-9]{1,9}\\.[a-z]{2,5}".prop_map(UpstreamHost::Name),
    ]
}

prop_compose! {
    fn issuer()(
        directory in "https://[a-z]{1,9}\\.[a-z]{2,5}(:[1-9][0-9]{0,3})?(/[a-z]{0,5}){0,3}(\\?[a-z=]{0,5})?",
        contact in vec("mailto:[a-z.+]{1,5}@[a-z]{1,5}\\.[a-z]{2,3}", 0..3),
        challenge in select(vec![
            AcmeChallenge::Http01,
            AcmeChallenge::TlsAlpn01,
            AcmeChallenge::Dns01,
            AcmeChallenge::DnsPersist01,
        ]),
        profile in option::of("[!-~]{1,9}"),
        key_type in select(vec![
            KeyType::EcdsaP256,
            KeyType::EcdsaP384,
            KeyType::Rsa2048,
            KeyType::Rsa3072,
            KeyType::Rsa4096,
        ]),
        (ca_file, external) in (option::of(file()), option::of((file(), file()))),
    ) -> AcmeIssuer {
        AcmeIssuer {
            name: String::new(),
            directory,
            contact,
            challenge,
            profile,
            key_type,
            ca_file,
            external_account: external
                .map(|(key_id_file, hmac_key_file)| ExternalAccount { key_id_file, hmac_key_file }),
        }
    }
}

fn issuers() -> impl Strategy<Value = Vec<AcmeIssuer>> {
    let named = |(name, issuer)| AcmeIssuer { name, ..issuer };
    (option::of(issuer()), btree_map("[a-z0-9_.-]{1,6}", issuer(), 1..3)).prop_map(move |(plain, others)| {
        let plain = plain.map(|issuer| ("default".to_owned(), issuer));
        plain.into_iter().chain(others).map(named).collect()
    })
}

prop_compose! {
    fn rfc2136()(
        (host, port) in (host(), 1..=u16::MAX),
        zone in option::of("[a-z]{1,9}\\.[a-z]{2,5}"),
        (key_name, key_file) in (option::of("[a-z][a-z-]{0,3}x"), file()),
        ttl in (1..=86_400u64).prop_map(Duration::from_secs),
        algorithm in option::of(select(vec![
            TsigAlgorithm::HmacSha256,
            TsigAlgorithm::HmacSha384,
            TsigAlgorithm::HmacSha512,
        ])),
    ) -> DnsProvider {
        DnsProvider::Rfc2136(Rfc2136 { host, port, zone, key_name, key_file, algorithm, ttl })
    }
}

prop_compose! {
    fn hook()(
        socket in "/[a-z \"\\\\é#]{1,12}/[a-z]{1,4}",
        zone in option::of("[a-z]{1,9}\\.[a-z]{2,5}"),
        timeout in duration(1),
    ) -> DnsProvider {
        DnsProvider::Hook(DnsHook { socket: socket.into(), zone, timeout })
    }
}

fn dns() -> impl Strategy<Value = AcmeDns> {
    (prop_oneof![rfc2136(), hook()], duration(1))
        .prop_map(|(provider, propagation_timeout)| AcmeDns { provider, propagation_timeout })
}

prop_compose! {
    fn redis()(
        (host, port, ca_file) in (host(), 1..=u16::MAX, option::of(file())),
        tls in any::<bool>(),
        (username, password_file) in (option::of("[!-~]{1,9}"), file()),
        seal_key_files in vec(file(), 1..3),
        (prefix, database, timeout) in ("[a-z:./-]{0,9}", 0..=65_535u32, duration(1)),
    ) -> AcmeRedis {
        AcmeRedis {
            host,
            port,
            tls: tls || ca_file.is_some(),
            ca_file,
            password_file: username.is_some().then_some(password_file),
            username,
            seal_key_files,
            prefix,
            database,
            timeout,
        }
    }
}

fn storage() -> impl Strategy<Value = AcmeStorage> {
    prop_oneof![file().prop_map(AcmeStorage::Folder), redis().prop_map(AcmeStorage::Redis)]
}

prop_compose! {
    fn settings()(
        issuers in issuers(),
        before_first in select(vec![BeforeFirst::Placeholder, BeforeFirst::Refuse]),
        renew_before in option::of(duration(60_000)),
        (max_orders_per_hour, max_concurrent_orders) in (1..=100_000u32, 1..=64u32),
        (records, storage) in (dns(), storage()),
        spare in any::<bool>(),
    ) -> Acme {
        let needed = issuers.iter().any(|issuer| issuer.challenge == AcmeChallenge::Dns01);
        Acme {
            issuers,
            before_first,
            renew_before,
            max_orders_per_hour,
            max_concurrent_orders,
            dns: (needed || spare).then_some(records),
            storage,
        }
    }
}

/// Present or not.
pub(super) fn acme() -> impl Strategy<Value = Option<Acme>> {
    option::of(settings())
}
