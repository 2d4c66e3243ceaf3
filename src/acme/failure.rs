//! Why an order came to nothing, and whose matter it is: the CA's, the name's, or our own.
//!
//! Owns the mapping of a CA's problems (RFC 8555 section 6.7) to what is done about them.

use std::time::SystemTime;

use instant_acme::{Error, Problem};

use super::jws::JwsError;
use super::pair::PairError;
use super::record::Unreadable;
use super::store::StoreError;

/// What went wrong, by what follows from it.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The CA can't be reached, or is out of order: others may do, for all names.
    #[error("the CA does not issue now: {0}")]
    Issuer(String),
    /// It asks to come later.
    #[error("the CA asks to wait: {detail}")]
    Limited { detail: String, until: Option<SystemTime> },
    /// It has not decided yet; the order goes on.
    #[error("the CA has not decided within {}s", super::order::PATIENCE.as_secs())]
    Slow,
    /// As many orders as the configuration allows were begun within the hour.
    #[error("max_orders_per_hour in [acme] is reached")]
    Full { until: u64 },
    /// Another replica has begun to order instead.
    #[error("another replica orders now")]
    Lost,
    /// It refuses this name.
    #[error("{0}")]
    Name(String),
    /// A record that the operator has to set is not there.
    #[error("{0}")]
    Missing(String),
    /// The order is no more; a new one may do.
    #[error("the order has ended: {0}")]
    Gone(String),
    /// A nonce was refused again and again; the order goes on.
    #[error("the CA took no nonce: {0}")]
    Nonce(String),
    /// The CA does not know the account.
    #[error("the CA does not know the account: {0}")]
    Account(String),
    /// The store, or this process.
    #[error("{0}")]
    Own(String),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Api(problem) => problem.into(),
            Error::Timeout(_) => Self::Slow,
            Error::Crypto | Error::KeyRejected => Self::Own("the account key can't be used".to_owned()),
            Error::Json(_) => Self::Issuer("its answer is no JSON that ACME has".to_owned()),
            other => Self::Issuer(chain(&other)),
        }
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        let mut detail = problem.detail.clone().unwrap_or_else(|| "no reason given".to_owned());
        for sub in &problem.subproblems {
            detail.push_str(&format!("; {sub}"));
        }
        let kind = problem.r#type.as_deref().unwrap_or_default();
        Self::of(kind, detail, problem.status)
    }
}

impl Failure {
    /// The one for a problem of this type.
    fn of(kind: &str, detail: String, status: Option<u16>) -> Self {
        let name = kind.rsplit(':').next().unwrap_or_default();
        let detail = shown(&if name.is_empty() { detail } else { format!("{detail} ({name})") });
        match name {
            "rateLimited" => Self::Limited { detail, until: None },
            "badNonce" => Self::Nonce(detail),
            "accountDoesNotExist" => Self::Account(detail),
            "serverInternal"
            | "userActionRequired"
            | "externalAccountRequired"
            | "invalidContact"
            | "unsupportedContact"
            | "invalidProfile"
            | "badSignatureAlgorithm"
            | "badPublicKey" => Self::Issuer(detail),
            "orderNotReady" => Self::Gone(detail),
            _ if matches!(status, Some(404)) => Self::Gone(detail),
            _ if matches!(status, Some(500..)) => Self::Issuer(detail),
            _ => Self::Name(detail),
        }
    }

    /// With what the CA said of when to come again.
    #[must_use]
    pub(super) fn waiting(self, wait: Option<SystemTime>) -> Self {
        match (self, wait) {
            (Self::Limited { detail, .. }, until) => Self::Limited { detail, until },
            // 503 with Retry-After (RFC 9110 section 15.6.4).
            (Self::Issuer(detail), Some(until)) => Self::Limited { detail, until: Some(until) },
            (other, _) => other,
        }
    }

    /// What a person can look after.
    #[must_use]
    pub(super) const fn advice(&self) -> &'static str {
        match self {
            Self::Issuer(_) => {
                "see whether directory in [acme] is right and the CA can be reached from here; it is tried again"
            }
            Self::Limited { .. } => "nothing: it is tried again when the CA allows it",
            Self::Name(_) => {
                "see that the name leads to this server in public DNS, that the CA can reach the port of the \
                 challenge (80 for http-01, 443 for tls-alpn-01), and that CAA records allow this CA"
            }
            Self::Missing(_) => {
                "set the record as it stands there; it is looked for again, or at once by ctl certs renew"
            }
            Self::Full { .. } => "max_orders_per_hour in [acme]",
            Self::Slow | Self::Lost | Self::Gone(_) | Self::Nonce(_) => "nothing: it is tried again",
            Self::Account(_) => "the account was removed at the CA: another one is opened",
            Self::Own(_) => "see the configuration and the files that it names",
            Self::Store(_) => "see the storage that [acme.storage] names",
        }
    }
}

impl From<JwsError> for Failure {
    fn from(error: JwsError) -> Self {
        match error {
            JwsError::Problem { kind, detail } => match Self::of(&kind, detail, None) {
                // Of an account, not of a name.
                Self::Name(detail) => Self::Issuer(detail),
                other => other,
            },
            JwsError::Client(error) => Self::Issuer(chain(&error)),
            JwsError::Directory(_) | JwsError::Answer(_) => Self::Issuer(error.to_string()),
            JwsError::Key => Self::Own(error.to_string()),
        }
    }
}

impl From<PairError> for Failure {
    fn from(error: PairError) -> Self {
        match error {
            // What ended before it came, ended by this machine's clock: another issuer's would have, too.
            PairError::Make(_) | PairError::Key(_) | PairError::Ended => Self::Own(error.to_string()),
            PairError::Chain(_) | PairError::OtherKey | PairError::OtherName(_) => {
                Self::Issuer(error.to_string())
            }
        }
    }
}

impl From<Unreadable> for Failure {
    fn from(error: Unreadable) -> Self {
        Self::Own(error.to_string())
    }
}

/// An error with everything that it came from.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(&format!(": {cause_text}"));
        }
        source = cause.source();
    }
    shown(&text)
}

/// A CA's words, as a line of a log bears them.
fn shown(text: &str) -> String {
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    let mut shown: String = text.chars().take(LONGEST).map(clean).collect();
    if text.chars().nth(LONGEST).is_some() {
        shown.push('…');
    }
    shown
}

const LONGEST: usize = 600;

#[cfg(test)]
mod tests {
    use super::*;

    fn of(kind: &str, status: u16) -> Failure {
        Failure::of(&format!("urn:ietf:params:acme:error:{kind}"), "why".to_owned(), Some(status))
    }

    #[test]
    fn problems_are_told_apart_by_whose_they_are() {
        assert!(matches!(of("rateLimited", 429), Failure::Limited { .. }));
        assert!(matches!(of("rejectedIdentifier", 400), Failure::Name(_)));
        assert!(matches!(of("unauthorized", 403), Failure::Name(_)));
        assert!(matches!(of("serverInternal", 500), Failure::Issuer(_)));
        assert!(matches!(of("malformed", 404), Failure::Gone(_)));
        assert!(matches!(of("somethingNew", 503), Failure::Issuer(_)));
        assert!(matches!(of("badNonce", 400), Failure::Nonce(_)));
        let until = Some(SystemTime::UNIX_EPOCH);
        assert!(matches!(of("serverInternal", 503).waiting(until), Failure::Limited { until: Some(_), .. }));
        assert!(matches!(of("unauthorized", 403).waiting(until), Failure::Name(_)));
    }

    #[test]
    fn the_words_of_a_ca_are_one_bounded_line() {
        let said = Failure::of("", format!("a\nb\u{1b}[31m{}", "x".repeat(1000)), None).to_string();
        assert!(!said.contains(['\n', '\u{1b}']) && said.chars().count() <= LONGEST + 1);
    }
}
