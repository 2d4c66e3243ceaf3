//! What CAs are answered who ask whether a name is ours.
//!
//! Owns the table of answers, which the edge looks in for HTTP-01 (RFC 8555 section 8.3) and handshakes for
//! TLS-ALPN-01 (RFC 8737), and what other replicas have put into a shared store. Only what is in there is
//! ever answered.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::pair;
use super::record::{self, ChallengeRecord};
use super::store::{Key, Kind, Store};
use crate::tls::AlpnAnswers;

/// Cheap to clone.
#[derive(Debug, Clone)]
pub struct Challenges(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    http: Mutex<HashMap<String, String>>,
    alpn: Arc<AlpnAnswers>,
    /// Where other replicas put theirs.
    shared: Option<Arc<dyn Store>>,
    /// For questions to it: whoever guesses tokens must not keep it busy.
    asking: Semaphore,
}

impl Challenges {
    /// With `shared`, answers of other replicas are found too.
    #[must_use]
    pub fn new(alpn: Arc<AlpnAnswers>, shared: Option<Arc<dyn Store>>) -> Self {
        Self(Arc::new(Inner { http: Mutex::default(), alpn, shared, asking: Semaphore::new(MOST_QUESTIONS) }))
    }

    /// Whether other replicas may be asked in our place.
    #[must_use]
    pub(super) fn are_shared(&self) -> bool {
        self.0.shared.is_some()
    }

    /// The answer to `GET /.well-known/acme-challenge/TOKEN`, if there is one.
    pub async fn http_answer(&self, token: &str) -> Option<String> {
        let known = self.0.http().get(token).cloned();
        match &self.0.shared {
            Some(shared) if known.is_none() && is_token(token) => {
                let _asking = self.0.asking.try_acquire().ok()?;
                let entry = timeout(PATIENCE, shared.get(&Key::challenge(token))).await.ok()?.ok()??;
                let record: ChallengeRecord = record::read(entry.value.as_bytes()).ok()?;
                (record.token == token && record.kind == HTTP).then_some(record.key_authorization)
            }
            _ => known,
        }
    }

    /// Answers by `record` from now on.
    ///
    /// # Errors
    /// The certificate for it can't be made.
    pub(super) fn enter(&self, record: &ChallengeRecord) -> Result<(), pair::PairError> {
        if record.kind == HTTP {
            self.0.http().insert(record.token.clone(), record.key_authorization.clone());
            return Ok(());
        }
        let digest =
            aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, record.key_authorization.as_bytes());
        let answer = pair::alpn_answer(&record.host, digest.as_ref())?;
        self.0.alpn.enter(&pair::alpn_name(&record.host), &record.token, answer);
        Ok(())
    }

    /// No longer.
    pub(super) fn remove(&self, token: &str) {
        self.0.http().remove(token);
        self.0.alpn.remove(token);
    }

    /// Takes over what another replica has put under `key`, or taken away.
    pub(super) async fn follow(&self, key: &Key) {
        let Some(shared) = &self.0.shared else { return };
        if key.kind != Kind::Challenge {
            return;
        }
        match shared.get(key).await {
            Ok(Some(entry)) => {
                if let Ok(record) = record::read(entry.value.as_bytes())
                    && let Err(error) = self.enter(&record)
                {
                    tracing::warn!(host = record.host, %error, "a challenge of another replica can't be answered");
                }
            }
            // Tokens are names as they are: they have no character that a name escapes.
            Ok(None) => self.remove(key.name.as_str()),
            Err(error) => tracing::debug!(%key, %error, "a challenge of another replica can't be read"),
        }
    }
}

impl Inner {
    fn http(&self) -> MutexGuard<'_, HashMap<String, String>> {
        self.http.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// RFC 8555 section 8.3: base64url, and no more than any CA uses.
#[must_use]
pub(super) fn is_token(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (16..=200).contains(&text.len()) && text.bytes().all(fits)
}

/// The kind of a record for HTTP-01.
pub(super) const HTTP: &str = "http-01";
const MOST_QUESTIONS: usize = 16;
/// CAs wait some ten seconds.
const PATIENCE: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_base64url_of_some_length_is_a_token() {
        assert!(is_token("LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0"));
        for text in
            ["", "short", "has/slash-and-more-than-16", "has%2Fescape-in-it-too", "dots...dots...dots"]
        {
            assert!(!is_token(text), "{text}");
        }
        assert!(!is_token(&"a".repeat(257)));
    }

    #[tokio::test]
    async fn answers_what_was_entered_until_it_is_removed() {
        let challenges = Challenges::new(Arc::default(), None);
        let record = |kind: &str| ChallengeRecord {
            kind: kind.into(),
            host: "a.example".into(),
            token: "LoqXcYV8q5ONbJQxbmR7SC".into(),
            key_authorization: "answer".into(),
            until: 0,
        };
        assert_eq!(challenges.http_answer("LoqXcYV8q5ONbJQxbmR7SC").await, None);
        challenges.enter(&record(HTTP)).unwrap();
        assert_eq!(challenges.http_answer("LoqXcYV8q5ONbJQxbmR7SC").await.as_deref(), Some("answer"));
        challenges.enter(&record("tls-alpn-01")).unwrap();
        assert!(challenges.0.alpn.find("a.example").is_some());
        challenges.remove("LoqXcYV8q5ONbJQxbmR7SC");
        assert_eq!(challenges.http_answer("LoqXcYV8q5ONbJQxbmR7SC").await, None);
        assert!(challenges.0.alpn.find("a.example").is_none());
    }
}
