//! Whether a client's certificate is one that is looked for.
//!
//! Owns how names are compared (RFC 5280 section 7, RFC 9525 section 6.3); both routes and policies ask.

use fluxheim_config::{ClientCondition, ClientMatch, SanPattern};

use crate::types::{ClientIdentity, San};

/// Whether `client`, who has shown a certificate or none, meets `asked`.
pub(super) fn meets(asked: &ClientCondition, client: Option<&ClientIdentity>) -> bool {
    match (asked, client) {
        (ClientCondition::Present, client) => client.is_some(),
        (ClientCondition::Absent, client) => client.is_none(),
        (ClientCondition::Is(wanted), Some(client)) => fits(wanted, client),
        (ClientCondition::Is(_), None) => false,
    }
}

/// Whether one entry of each list that is not empty fits.
#[must_use]
pub fn fits(wanted: &ClientMatch, client: &ClientIdentity) -> bool {
    let named = |pattern: &SanPattern| client.sans.iter().any(|name| is_named(pattern, name));
    let known = wanted.fingerprint.iter().any(|known| known.0 == client.fingerprint);
    (wanted.san.is_empty() || wanted.san.iter().any(named)) && (wanted.fingerprint.is_empty() || known)
}

fn is_named(pattern: &SanPattern, name: &San) -> bool {
    match (pattern, name) {
        (SanPattern::Dns(wanted), San::Dns(name)) => wanted.eq_ignore_ascii_case(name),
        (SanPattern::DnsBelow(parent), San::Dns(name)) => {
            let below = |(label, rest): (&str, &str)| is_label(label) && rest.eq_ignore_ascii_case(parent);
            name.split_once('.').is_some_and(below)
        }
        (SanPattern::Uri(wanted), San::Uri(name)) => wanted == name,
        (SanPattern::Email(wanted), San::Email(name)) => same_mailbox(wanted, name),
        (SanPattern::Ip(wanted), San::Ip(address)) => wanted == address,
        (
            SanPattern::Dns(_)
            | SanPattern::DnsBelow(_)
            | SanPattern::Uri(_)
            | SanPattern::Email(_)
            | SanPattern::Ip(_),
            San::Dns(_) | San::Uri(_) | San::Email(_) | San::Ip(_),
        ) => false,
    }
}

/// A certificate for `*.example.com` is for many, and so names no one of them.
fn is_label(label: &str) -> bool {
    !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

fn same_mailbox(wanted: &str, name: &str) -> bool {
    match (wanted.rsplit_once('@'), name.rsplit_once('@')) {
        (Some((local, domain)), Some((name, at))) => local == name && domain.eq_ignore_ascii_case(at),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use fluxheim_config::Fingerprint;

    use super::*;

    fn client(sans: &[San]) -> ClientIdentity {
        ClientIdentity {
            subject: String::new(),
            issuer: String::new(),
            serial: String::new(),
            fingerprint: [7; 32],
            sans: sans.to_vec(),
            chain: Vec::new(),
            not_before: 0,
            not_after: 0,
        }
    }

    fn named(pattern: SanPattern, name: San) -> bool {
        fits(&ClientMatch { san: vec![pattern], fingerprint: Vec::new() }, &client(&[name]))
    }

    #[test]
    fn compares_dns_names_in_any_case_and_takes_one_label_for_a_wildcard() {
        let below = |name: &str| named(SanPattern::DnsBelow("b.test".into()), San::Dns(name.into()));
        assert!(named(SanPattern::Dns("a.test".into()), San::Dns("A.Test".into())));
        assert!(!named(SanPattern::Dns("a.test".into()), San::Dns("a.test\0.evil".into())));
        assert!(below("a.B.test") && below("a_1-x.b.test"));
        for other in ["b.test", ".b.test", "x.a.b.test", "*.b.test", "ab.test", "a\0.b.test", "é.b.test"] {
            assert!(!below(other), "{other}");
        }
    }

    #[test]
    fn compares_uris_by_the_letter_and_mailboxes_by_their_domain() {
        let uri = |name: &str| named(SanPattern::Uri("spiffe://x/a".into()), San::Uri(name.into()));
        assert!(uri("spiffe://x/a") && !uri("spiffe://X/a") && !uri("spiffe://x/a/b"));
        let email = |name: &str| named(SanPattern::Email("Ann@x.test".into()), San::Email(name.into()));
        assert!(email("Ann@X.test") && !email("ann@x.test") && !email("x.test"));
    }

    #[test]
    fn takes_no_name_for_one_of_another_kind() {
        assert!(!named(SanPattern::Dns("a.test".into()), San::Uri("a.test".into())));
        assert!(!named(SanPattern::Uri("urn:a".into()), San::Dns("urn:a".into())));
        assert!(named(SanPattern::Ip([10, 0, 0, 1].into()), San::Ip([10, 0, 0, 1].into())));
    }

    #[test]
    fn asks_for_one_of_each_list_that_is_there() {
        let both = |name: &str, known: u8| {
            let wanted = ClientMatch {
                san: vec![SanPattern::Dns("a.test".into()), SanPattern::Dns("b.test".into())],
                fingerprint: vec![Fingerprint([1; 32]), Fingerprint([known; 32])],
            };
            fits(&wanted, &client(&[San::Dns("c.test".into()), San::Dns(name.into())]))
        };
        assert!(both("b.test", 7) && !both("b.test", 8) && !both("c.test", 7));
        assert!(fits(&ClientMatch::default(), &client(&[])));
        let none = ClientMatch { san: vec![SanPattern::Dns("a.test".into())], ..ClientMatch::default() };
        assert!(!fits(&none, &client(&[])));
    }

    #[test]
    fn tells_clients_with_a_certificate_from_those_without() {
        let known = client(&[San::Dns("a.test".into())]);
        let is = ClientCondition::Is(ClientMatch {
            san: vec![SanPattern::Dns("a.test".into())],
            ..ClientMatch::default()
        });
        assert!(meets(&ClientCondition::Present, Some(&known)) && !meets(&ClientCondition::Present, None));
        assert!(meets(&ClientCondition::Absent, None) && !meets(&ClientCondition::Absent, Some(&known)));
        assert!(meets(&is, Some(&known)) && !meets(&is, None));
    }
}
