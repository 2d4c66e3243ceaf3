//! When a CA suggests to renew (ARI, RFC 9773).
//!
//! Owns the question and what is kept of the answer.

use instant_acme::CertificateIdentifier;

use crate::acme::attempt::Attempts;
use crate::acme::clock::seconds;
use crate::acme::failure::Failure;
use crate::acme::pair::Facts;
use crate::acme::record::CertificateRecord;
use crate::acme::settings::{Host, Issuer, Settings};
use crate::acme::store::{Key, Lease};

/// Asks the CA that issued the present certificate when to renew it (RFC 9773 section 4.1), and keeps the answer.
pub(super) async fn ask(
    attempts: &Attempts,
    settings: &Settings,
    host: &Host,
    facts: Option<&Facts>,
    lease: &Lease,
) {
    let Some(id) = facts.and_then(|facts| facts.id.clone()) else { return };
    let told = renewal_info(attempts, settings, host, &id, lease).await;
    let (of, now) = (id.to_string(), seconds());
    let mut is_news = false;
    let kept = attempts.reschedule(&host.name, lease, |record| {
        if record.of.as_ref() != Some(&of) {
            record.window = None;
            record.of = Some(of.clone());
        }
        record.ask = now
            + match &told {
                Ok(Some((window, again))) => {
                    is_news = record.window.replace(*window) != Some(*window);
                    (*again).clamp(SHORTEST_ASK, LONGEST_ASK)
                }
                // It has no ARI; perhaps one day.
                Ok(None) => LONGEST_ASK,
                Err(_) => FAILED_ASK,
            };
    });
    if let Err(error) = kept.await {
        tracing::warn!(host = host.name, %error, "when the CA wants to renew could not be kept");
    }
    match told {
        Ok(Some(((from, until), _))) if is_news => {
            tracing::info!(host = host.name, from, until, "the CA suggests when to renew");
        }
        Ok(_) => {}
        Err(failure) => tracing::debug!(host = host.name, %failure, "the CA does not say when to renew"),
    }
}

type Window = (u64, u64);

async fn renewal_info(
    attempts: &Attempts,
    settings: &Settings,
    host: &Host,
    id: &CertificateIdentifier<'static>,
    lease: &Lease,
) -> Result<Option<(Window, u64)>, Failure> {
    let Some(entry) = attempts.store.get(&Key::certificate(&host.name)).await? else { return Ok(None) };
    let record = CertificateRecord::read(entry.value.as_bytes())?;
    let by = |issuer: &&Issuer| issuer.config.directory == record.origin.directory;
    let Some(issuer) = settings.issuers.iter().find(by) else { return Ok(None) };
    let opened = attempts.account(issuer, lease).await?;
    match opened.account.renewal_info(id).await {
        Ok((info, again)) => {
            let at = |time: i64| u64::try_from(time).unwrap_or(0);
            let window = (
                at(info.suggested_window.start.unix_timestamp()),
                at(info.suggested_window.end.unix_timestamp()),
            );
            if let Some(url) = info.explanation_url {
                tracing::info!(host = host.name, url, "the CA explains when to renew");
            }
            // RFC 9773 section 4.2: an empty window is none.
            Ok((window.0 < window.1).then_some((window, again.as_secs())))
        }
        Err(instant_acme::Error::Unsupported(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// RFC 9773 section 4.3.2 leaves it to us to bound what a CA asks for.
const SHORTEST_ASK: u64 = 60;
pub(super) const LONGEST_ASK: u64 = 86_400;
const FAILED_ASK: u64 = 3600;
