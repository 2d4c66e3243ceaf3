//! Certificates as the admin API shows them.
//!
//! Owns how each is said to stand: what is wrong with its files or with its renewal, the worst first.

use crate::acme::{PLACEHOLDER, Standing};
use crate::admin::seen::{self, Certificate, CertificateState};
use crate::tls::{Entry, Source};

/// What is known beside the certificate itself.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// Why its files, replaced since, can't be used.
    pub refused: Option<String>,
    /// How its renewal stands.
    pub standing: Standing,
}

/// The certificate of `entry`, of which that is `known`, at `now` in seconds since 1970.
pub(super) fn certificate(entry: Entry, known: Known, now: i64) -> Certificate {
    let Entry { name, source, about } = entry;
    let stands_in = source == Source::Issued && about.issuer.contains(PLACEHOLDER);
    let source = match source {
        Source::File => "file",
        Source::Issued if stands_in => seen::PLACEHOLDER,
        Source::Issued => "acme",
    };
    let Standing { failures, error, revoked } = known.standing;
    let failed = error.map(|error| format!("{failures} failed: {error}"));
    let state = match &known.refused {
        _ if stands_in => CertificateState::Placeholder,
        _ if revoked => CertificateState::Revoked,
        _ if about.not_after < now => CertificateState::Expired,
        Some(_) => CertificateState::Refused,
        None if failed.is_some() => CertificateState::Failing,
        None => CertificateState::Good,
    };
    let detail = if stands_in || revoked { failed } else { known.refused.or(failed) };
    Certificate {
        name,
        source: source.to_owned(),
        names: about.names.to_vec(),
        not_before: about.not_before,
        not_after: about.not_after,
        issuer: about.issuer,
        state,
        detail,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::About;

    fn shown(source: Source, issuer: &str, known: Known, ended: bool) -> (CertificateState, Option<String>) {
        let about = About { names: [].into(), not_before: 0, not_after: 1000, issuer: issuer.to_owned() };
        let entry = Entry { name: "a".to_owned(), source, about };
        let shown = certificate(entry, known, if ended { 1001 } else { 999 });
        (shown.state, shown.detail)
    }

    fn standing(failures: u32, revoked: bool) -> Known {
        let error = (failures > 0).then(|| "why".to_owned());
        Known { refused: None, standing: Standing { failures, error, revoked } }
    }

    #[test]
    fn the_worst_is_told_and_why() {
        let failed = Some("2 failed: why".to_owned());
        let unusable = || Known { refused: Some("no key".to_owned()), ..Known::default() };
        let no_key = Some("no key".to_owned());
        for (source, issuer, known, ended, told) in [
            (Source::File, "CN=CA", Known::default(), false, (CertificateState::Good, None)),
            (Source::File, "CN=CA", Known::default(), true, (CertificateState::Expired, None)),
            (Source::Issued, "CN=CA", standing(2, false), false, (CertificateState::Failing, failed.clone())),
            (Source::Issued, "CN=CA", standing(2, false), true, (CertificateState::Expired, failed.clone())),
            (Source::Issued, "CN=CA", standing(0, true), true, (CertificateState::Revoked, None)),
            (Source::Issued, PLACEHOLDER, standing(2, true), false, (CertificateState::Placeholder, failed)),
            (Source::File, "CN=CA", unusable(), false, (CertificateState::Refused, no_key.clone())),
            (Source::File, "CN=CA", unusable(), true, (CertificateState::Expired, no_key)),
        ] {
            assert_eq!(shown(source, issuer, known, ended), told);
        }
    }
}
