//! Challenges: what is shown to a CA, and taken back afterwards.
//!
//! Owns where each kind is shown. Other replicas hear of it through the store before the CA is told to look.

use std::sync::Arc;
use std::time::Duration;

use fluxheim_config::AcmeChallenge;
use instant_acme::KeyAuthorization;
use serde_json::Value;

use super::challenges::Challenges;
use super::dns::persist::{self, PersistError, Seen};
use super::dns::{Provider, Record};
use super::failure::Failure;
use super::left::Place;
use super::record::{self, ChallengeRecord, LeftRecord};
use super::settings::Issuer;
use super::store::{Expect, Key, Lease, Store};

/// Shows things.
pub(super) struct Presenter {
    pub(super) challenges: Challenges,
    pub(super) store: Arc<dyn Store>,
}

/// What a CA asks for.
pub(super) struct Asked<'a> {
    pub(super) issuer: &'a Issuer,
    pub(super) host: &'a str,
    pub(super) account: &'a str,
    pub(super) thumbprint: &'a str,
    pub(super) token: &'a str,
    /// Of the challenge.
    pub(super) url: &'a str,
    pub(super) answer: &'a KeyAuthorization,
    pub(super) now: u64,
}

/// What was shown, and is to be taken back.
pub(super) enum Shown {
    /// The answer to a token.
    Answer(String),
    /// A record, and who made it.
    Record(Arc<dyn Provider>, LeftRecord),
}

impl Presenter {
    /// Shows what `asked` asks for. What is to be taken back is among `shown` before it is done: whoever gives up in
    /// the middle knows of it too.
    ///
    /// # Errors
    /// [`Failure`]
    pub(super) async fn show(
        &self,
        asked: &Asked<'_>,
        lease: &Lease,
        shown: &mut Vec<Shown>,
    ) -> Result<(), Failure> {
        match asked.issuer.config.challenge {
            AcmeChallenge::Http01 | AcmeChallenge::TlsAlpn01 => self.answer(asked, lease, shown).await,
            AcmeChallenge::Dns01 => self.record_of(asked, lease, shown).await,
            AcmeChallenge::DnsPersist01 => {
                let challenge = asked.issuer.client.challenge(asked.url);
                stands(asked.issuer, asked.host, asked.account, asked.thumbprint, &challenge).await
            }
        }
    }

    /// Takes back what was shown; what can't be taken back does no harm.
    pub(super) async fn take_back(&self, shown: Shown, host: &str, lease: &Lease) {
        match shown {
            Shown::Answer(token) => {
                self.challenges.remove(&token);
                if let Err(error) =
                    self.store.delete(&Key::challenge(&token), Expect::Anything, Some(lease)).await
                {
                    tracing::debug!(%error, "an answer to a CA stays in the storage");
                }
            }
            Shown::Record(provider, left) => {
                Place { store: &*self.store, host, lease }.take_back(Some(&provider), &left).await;
            }
        }
    }

    async fn answer(&self, asked: &Asked<'_>, lease: &Lease, shown: &mut Vec<Shown>) -> Result<(), Failure> {
        let record = ChallengeRecord {
            kind: asked.issuer.config.challenge.name().to_owned(),
            host: asked.host.to_owned(),
            token: asked.token.to_owned(),
            key_authorization: asked.answer.as_str().to_owned(),
            until: asked.now + LIFE.as_secs(),
        };
        if !super::challenges::is_token(&record.token) {
            return Err(Failure::Issuer("its token is not what RFC 8555 calls one".to_owned()));
        }
        self.challenges.enter(&record)?;
        shown.push(Shown::Answer(record.token.clone()));
        if self.challenges.are_shared() {
            let bytes = record::write(&record)?;
            self.store.put(&Key::challenge(asked.token), &bytes, Expect::Anything, Some(lease)).await?;
            if asked.issuer.config.challenge == AcmeChallenge::TlsAlpn01 {
                // Handshakes don't wait for the storage: the others must have it before the CA comes.
                tokio::time::sleep(SPREADING).await;
            }
        }
        Ok(())
    }

    /// Makes the record of DNS-01 and waits until a CA can see it (RFC 8555 section 8.4).
    async fn record_of(
        &self,
        asked: &Asked<'_>,
        lease: &Lease,
        shown: &mut Vec<Shown>,
    ) -> Result<(), Failure> {
        let provider = asked.issuer.dns.as_ref();
        let provider =
            provider.ok_or_else(|| Failure::Own("[acme.dns] does not say who makes records".to_owned()))?;
        let name = format!("_acme-challenge.{}", asked.host.trim_start_matches("*."));
        let record = Record { name, value: asked.answer.dns_value() };
        let left = LeftRecord::of(&**provider, record.clone());
        let place = Place { store: &*self.store, host: asked.host, lease };
        // Whatever becomes of this process: it is known that it may be there.
        let is_news = place.note(&left).await?;
        // What is lost may be the answer alone: it is taken back in any case.
        shown.push(Shown::Record(Arc::clone(provider), left.clone()));
        if let Err(error) = provider.present(&record.name, &record.value).await {
            if is_news && error.leaves_nothing() {
                shown.pop();
                place.forget(&left).await;
            }
            return Err(Failure::Own(error.to_string()));
        }
        provider.visible(&record).await.map_err(|error| Failure::Own(error.to_string()))
    }
}

/// Whether the standing record of DNS-PERSIST-01 is there; `challenge` is `null` before there is an order.
///
/// # Errors
/// [`Failure::Missing`] says which record to set.
pub(super) async fn stands(
    issuer: &Issuer,
    host: &str,
    account: &str,
    thumbprint: &str,
    challenge: &Value,
) -> Result<(), Failure> {
    let wildcard = host.starts_with("*.");
    let meta = issuer.client.meta();
    let standing = match persist::expected(&meta, challenge, account, thumbprint, host, wildcard) {
        Ok(standing) => standing,
        // Then the order tells.
        Err(PersistError::NoIssuer) if challenge.is_null() => return Ok(()),
        Err(error) => return Err(Failure::Issuer(error.to_string())),
    };
    match standing.look(&issuer.resolver).await {
        Ok(Seen::Good) => Ok(()),
        Ok(Seen::PerhapsOlder) => {
            let record = standing.to_string();
            tracing::warn!(
                host,
                record,
                "the standing record seems to be of an earlier account key: renew it"
            );
            Ok(())
        }
        Err(missing) => Err(Failure::Missing(missing.to_string())),
    }
}

/// Longer than a CA keeps trying.
const LIFE: Duration = Duration::from_secs(3600);
/// News of a shared storage come within a fraction of it.
const SPREADING: Duration = Duration::from_secs(2);
