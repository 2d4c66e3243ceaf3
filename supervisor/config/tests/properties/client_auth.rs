//! Client certificates: who is asked, who fits, what is told.

use fluxheim_config::*;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::file;

fn san() -> impl Strategy<Value = SanPattern> {
    let name = || "[a-z0-9]{1,5}(\\.[a-z]{2,5}){1,2}";
    prop_oneof![
        name().prop_map(SanPattern::Dns),
        name().prop_map(SanPattern::DnsBelow),
        "[a-z][a-z0-9+.-]{0,5}:[!-)+-~]{1,9}".prop_map(SanPattern::Uri),
        ("[!-)+-9;-~]{1,5}", name())
            .prop_map(|(local, domain)| SanPattern::Email(format!("{local}@{domain}"))),
        any::<std::net::IpAddr>().prop_map(SanPattern::Ip),
    ]
}

fn wanted() -> impl Strategy<Value = ClientMatch> {
    (vec(san(), 0..3), vec(any::<[u8; 32]>().prop_map(Fingerprint), 0..3))
        .prop_map(|(san, fingerprint)| ClientMatch { san, fingerprint })
}

prop_compose! {
    pub(super) fn client_auth()(
        mode in select(vec![ClientAuthMode::Optional, ClientAuthMode::Required]),
        (ca, crl) in (file(), vec(file(), 0..3)),
        (leaf_only, allow_unknown, allow_expired) in any::<(bool, bool, bool)>(),
        (verify_depth, allow) in (0..=6_u8, wanted()),
    ) -> ClientAuth {
        let revocation = Revocation { leaf_only, allow_unknown, allow_expired };
        let revocation = if crl.is_empty() { Revocation::default() } else { revocation };
        ClientAuth { mode, ca, crl, revocation, verify_depth, allow }
    }
}

pub(super) fn condition() -> impl Strategy<Value = ClientCondition> {
    prop_oneof![
        Just(ClientCondition::Present),
        Just(ClientCondition::Absent),
        wanted()
            .prop_filter("an empty one is a mistake", |wanted| !wanted.is_empty())
            .prop_map(ClientCondition::Is),
    ]
}

prop_compose! {
    pub(super) fn identity()(
        (certificate, chain) in any::<(bool, bool)>(),
        (subject, san, fingerprint) in any::<(bool, bool, bool)>(),
        signature in option::of((file(), "[A-Za-z0-9_.-]{1,9}")),
    ) -> ClientIdentity {
        let name = |wanted: bool, name: &str| wanted.then(|| name.to_owned());
        ClientIdentity {
            certificate,
            chain: chain && certificate,
            subject_header: name(subject, "x-subject"),
            san_header: name(san, "x-san"),
            fingerprint_header: name(fingerprint, "x-fingerprint"),
            signature: signature.map(|(key_file, key_id)| IdentitySignature { key_file, key_id }),
        }
    }
}
