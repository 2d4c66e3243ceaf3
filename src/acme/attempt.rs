//! One attempt at a certificate: issuer after issuer, until one has issued it or all have failed.
//!
//! Owns what follows from a failure, for the host (a pause) and for the issuer (it is left alone for a
//! while), and keeps it, so that a restart is no way around a pause.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use fluxheim_config::AcmeChallenge;
use instant_acme::CertificateIdentifier;
use serde_json::Value;

use super::account::{self, Opened};
use super::client::heeding;
use super::clock::{date, seconds};
use super::failure::Failure;
use super::left;
use super::order::{self, Job, Kept};
use super::pair;
use super::plans;
use super::presenting::{self, Presenter};
use super::record::{self, CertificateRecord, ScheduleRecord};
use super::schedule::{self, Ledger};
use super::settings::{Host, Issuer, Settings};
use super::store::{Expect, Key, Lease, Store, StoreError, Version};
use super::waiting::{OutOfOrder, Wait};
use crate::telemetry::Telemetry;

/// What attempts share.
pub(super) struct Attempts {
    pub(super) store: Arc<dyn Store>,
    pub(super) presenter: Presenter,
    pub(super) telemetry: Arc<Telemetry>,
    /// By name and directory; opened one at a time.
    accounts: tokio::sync::Mutex<HashMap<String, Opened>>,
    ledger: tokio::sync::Mutex<()>,
    out_of_order: OutOfOrder,
}

/// How an attempt ended.
pub(super) enum Ended {
    Issued,
    /// Of all issuers; the last failure. It has been told.
    Failed(String),
    /// Nobody could be asked yet; why, and whom that is about.
    Waiting {
        until: u64,
        why: String,
    },
}

impl Attempts {
    /// Attempts over `store`.
    #[must_use]
    pub(super) fn new(store: Arc<dyn Store>, presenter: Presenter, telemetry: Arc<Telemetry>) -> Self {
        Self {
            store,
            presenter,
            telemetry,
            accounts: tokio::sync::Mutex::default(),
            ledger: tokio::sync::Mutex::default(),
            out_of_order: OutOfOrder::default(),
        }
    }

    /// Tries to get a certificate for `host`.
    pub(super) async fn attempt(&self, settings: &Settings, host: &Host, lease: &Lease) -> Ended {
        let ended = self.tried(settings, host, lease).await;
        // Of a process that has ended meanwhile. Not before: the CA may be looking for the one that an order under way
        // has shown.
        if lease.is_held() {
            self.take_back(settings, host, lease).await;
        }
        ended
    }

    async fn tried(&self, settings: &Settings, host: &Host, lease: &Lease) -> Ended {
        // Without it nobody knows whom not to ask.
        let Ok(schedule) = self.schedule(&host.name).await else {
            let why = "the storage of [acme] does not say whom to ask: see the lines about it".to_owned();
            return Ended::Waiting { until: seconds() + UNKNOWN, why };
        };
        let kept = match order::kept(&*self.store, host).await {
            Ok(kept) => kept,
            Err(failure) => return self.failed(host, None, &failure, lease).await,
        };
        let mut kept = kept.filter(|kept| is_of(settings, kept));
        let now = seconds();
        let (ready, waiting) = self.ready(settings, host, &schedule.0, kept.as_ref(), now);
        let mut failure = None;
        for issuer in ready {
            let own = kept.take_if(|kept| kept.record.issuer == issuer.config.name);
            match self.one(settings, issuer, host, own, lease).await {
                Ok(()) => {
                    self.succeeded(issuer, host, schedule.1, lease).await;
                    return Ended::Issued;
                }
                // Nobody's failure: the order is made when there is room.
                Err(failure @ Failure::Full { until }) => {
                    return Ended::Waiting { until, why: format!("{failure} until {}", date(until)) };
                }
                Err(failure @ Failure::Lost) => return Ended::Failed(failure.to_string()),
                Err(failed) => {
                    self.note(issuer, host, &failed);
                    let ends = matches!(failed, Failure::Slow | Failure::Store(_) | Failure::Own(_));
                    failure = Some((issuer, failed));
                    if ends {
                        break;
                    }
                }
            }
        }
        match failure {
            None => {
                let until = waiting.iter().map(|wait| wait.until).min().unwrap_or(now + UNKNOWN);
                let why = waiting.iter().map(Wait::to_string).collect::<Vec<_>>().join(", ");
                Ended::Waiting { until: until.max(now + 1), why }
            }
            Some((issuer, failure)) => self.failed(host, Some(issuer), &failure, lease).await,
        }
    }

    /// The issuers that may be asked now, that of the order which is under way first; and the others.
    fn ready<'a>(
        &self,
        settings: &'a Settings,
        host: &'a Host,
        schedule: &ScheduleRecord,
        kept: Option<&Kept>,
        now: u64,
    ) -> (Vec<&'a Issuer>, Vec<Wait<'a>>) {
        let (mut ready, mut waiting) = (Vec::new(), Vec::new());
        for issuer in settings.issuers_for(host) {
            let name = &issuer.config.name;
            let asked_to_wait = schedule.waits.get(name).copied().unwrap_or(0);
            let until = asked_to_wait.max(self.out_of_order.until(name, now));
            if until > now && schedule.decided <= now {
                waiting.push(Wait { issuer: name, asked: asked_to_wait == until, until });
            } else {
                ready.push(issuer);
            }
        }
        if let Some(kept) = kept {
            ready.sort_by_key(|issuer| issuer.config.name != kept.record.issuer);
        }
        (ready, waiting)
    }

    async fn one(
        &self,
        settings: &Settings,
        issuer: &Issuer,
        host: &Host,
        mut kept: Option<Kept>,
        lease: &Lease,
    ) -> Result<(), Failure> {
        let mut tries = 0;
        loop {
            tries += 1;
            let (done, wait) = heeding(self.once(settings, issuer, host, kept, lease)).await;
            let failure = match done {
                Ok(()) => {
                    self.out_of_order.rose(&issuer.config.name);
                    return Ok(());
                }
                Err(failure) => failure.waiting(wait),
            };
            match failure {
                Failure::Nonce(_) if tries < MOST_NONCES => tokio::time::sleep(SHORTLY).await,
                Failure::Gone(_) if tries < MOST_ORDERS => {
                    self.store.delete(&Key::order(&host.name), Expect::Anything, Some(lease)).await?;
                }
                Failure::Account(_) if tries < MOST_ORDERS => {
                    account::forget(&*self.store, lease, issuer).await?;
                    self.accounts.lock().await.remove(&account_name(issuer));
                }
                Failure::Name(_) | Failure::Gone(_) => {
                    self.store.delete(&Key::order(&host.name), Expect::Anything, Some(lease)).await?;
                    return Err(failure);
                }
                failure => return Err(failure),
            }
            kept = order::kept(&*self.store, host).await?.filter(|kept| is_of(settings, kept));
        }
    }

    async fn once(
        &self,
        settings: &Settings,
        issuer: &Issuer,
        host: &Host,
        kept: Option<Kept>,
        lease: &Lease,
    ) -> Result<(), Failure> {
        let Opened { account, url } = self.account(issuer, lease).await?;
        let kept = kept.filter(|kept| kept.record.account == url);
        if kept.as_ref().is_none_or(|kept| kept.record.url.is_none()) {
            if issuer.config.challenge == AcmeChallenge::DnsPersist01 {
                let thumbprint = account.key_thumbprint();
                presenting::stands(issuer, &host.name, &url, thumbprint, &Value::Null).await?;
            }
            self.enter(settings.acme.max_orders_per_hour, lease).await?;
        }
        let job = Job {
            store: &*self.store,
            lease,
            presenter: &self.presenter,
            issuer,
            host,
            account,
            account_url: url,
            replaces: self.replaced(issuer, host).await,
            now: seconds(),
        };
        job.run(kept).await
    }

    /// The account with `issuer`.
    ///
    /// # Errors
    /// [`Failure`]
    pub(super) async fn account(&self, issuer: &Issuer, lease: &Lease) -> Result<Opened, Failure> {
        let mut accounts = self.accounts.lock().await;
        if let Some(opened) = accounts.get(&account_name(issuer)) {
            return Ok(opened.clone());
        }
        // Others that waited for the lock need not find out for themselves.
        if self.out_of_order.until(&issuer.config.name, seconds()) > seconds() {
            return Err(Failure::Issuer("it was out of order a moment ago".to_owned()));
        }
        let opened = account::open(&*self.store, lease, issuer).await?;
        accounts.insert(account_name(issuer), opened.clone());
        Ok(opened)
    }

    /// Accounts are opened anew, as the way to a CA or the account itself may have changed.
    pub(super) async fn forget_accounts(&self) {
        self.accounts.lock().await.clear();
    }

    async fn enter(&self, most: u32, lease: &Lease) -> Result<(), Failure> {
        let _one_at_a_time = self.ledger.lock().await;
        let key = Key::schedule(LEDGER);
        let entry = self.store.get(&key).await?;
        let mut ledger: Ledger =
            entry.and_then(|entry| record::read(entry.value.as_bytes()).ok()).unwrap_or_default();
        ledger.enter(seconds(), most).map_err(|until| Failure::Full { until })?;
        self.store.put(&key, &record::write(&ledger)?, Expect::Anything, Some(lease)).await?;
        Ok(())
    }

    /// What ARI calls the certificate that is to be replaced, where this CA issued it and wants to know.
    async fn replaced(&self, issuer: &Issuer, host: &Host) -> Option<CertificateIdentifier<'static>> {
        issuer.client.directory("renewalInfo")?;
        let entry = self.store.get(&Key::certificate(&host.name)).await.ok()??;
        let record = CertificateRecord::read(entry.value.as_bytes()).ok()?;
        if record.origin.directory != issuer.config.directory {
            return None;
        }
        let pair = pair::certified(&record.chain, &record.key.0).ok()?;
        pair::facts(&pair).ok()?.id
    }

    /// What is kept of earlier attempts; nothing where it can't be read.
    pub(super) async fn schedule(&self, host: &str) -> Result<(ScheduleRecord, Option<Version>), StoreError> {
        plans::read(&*self.store, host).await
    }

    /// Changes what is kept of when to try, and gives it back.
    pub(super) async fn reschedule(
        &self,
        host: &str,
        lease: &Lease,
        change: impl FnMut(&mut ScheduleRecord) + Send,
    ) -> Result<ScheduleRecord, Failure> {
        plans::change(&*self.store, host, lease, change).await
    }

    /// Takes back the records of `host` that earlier orders have left.
    pub(super) async fn take_back(&self, settings: &Settings, host: &Host, lease: &Lease) {
        let provider = settings.issuers.iter().find_map(|issuer| issuer.dns.as_ref());
        left::Place { store: &*self.store, host: &host.name, lease }.take_back_due(provider).await;
    }

    async fn succeeded(&self, issuer: &Issuer, host: &Host, version: Option<Version>, lease: &Lease) {
        let name = &issuer.config.name;
        tracing::info!(host = host.name, issuer = name, "certificate issued");
        self.telemetry.metrics.acme.issued(&host.name, name, seconds());
        if version.is_some() {
            let gone = self.reschedule(&host.name, lease, |record| {
                let left = std::mem::take(&mut record.left);
                *record = ScheduleRecord { left, ..ScheduleRecord::default() };
            });
            if let Err(error) = gone.await {
                tracing::warn!(host = host.name, %error, "what is kept of failures could not be removed");
            }
        }
    }

    async fn failed(&self, host: &Host, issuer: Option<&Issuer>, failure: &Failure, lease: &Lease) -> Ended {
        let now = seconds();
        let left = self.left(host, now).await;
        let asked = match failure {
            Failure::Limited { until: Some(until), .. } => Some(since_epoch(*until)),
            _ => None,
        };
        let kept = self.reschedule(&host.name, lease, |record| {
            record.failures = record.failures.saturating_add(1);
            record.decided = now;
            let pause = schedule::pause(record.failures, left, schedule::chance((&host.name, now)));
            // Nobody but a name server is asked for nothing, and an operator who has set the record waits.
            let pause = if matches!(failure, Failure::Missing(_)) { pause.min(LOOK_AGAIN) } else { pause };
            record.not_before = asked.unwrap_or(0).max(now + pause);
            record.error = Some(failure.to_string());
            if let (Some(issuer), Some(until)) = (issuer, asked) {
                record.waits.insert(issuer.config.name.clone(), until);
            }
        });
        match kept.await {
            Ok(record) => self.telemetry.metrics.acme.failures(&host.name, record.failures),
            Err(error) => {
                tracing::error!(host = host.name, %error, "when to try again could not be kept");
            }
        }
        Ended::Failed(failure.to_string())
    }

    /// Seconds that the present certificate is still good for.
    async fn left(&self, host: &Host, now: u64) -> Option<u64> {
        let entry = self.store.get(&Key::certificate(&host.name)).await.ok()??;
        let record = CertificateRecord::read(entry.value.as_bytes()).ok()?;
        let pair = pair::certified(&record.chain, &record.key.0).ok()?;
        Some(pair::facts(&pair).ok()?.not_after.saturating_sub(now))
    }

    /// Tells the failure, and leaves an issuer that is out of order alone for a while.
    fn note(&self, issuer: &Issuer, host: &Host, failure: &Failure) {
        let name = &issuer.config.name;
        let result = match failure {
            Failure::Limited { .. } => "limited",
            _ => "failed",
        };
        self.telemetry.metrics.acme.failed(name, result);
        tracing::warn!(
            host = host.name,
            issuer = name,
            challenge = issuer.config.challenge.name(),
            reason = %failure,
            check = failure.advice(),
            "no certificate was issued"
        );
        if matches!(failure, Failure::Issuer(_)) {
            self.out_of_order.fell(name, seconds());
        }
    }
}

/// Whether an order may go on: its issuer is still there, and the same CA.
fn is_of(settings: &Settings, kept: &Kept) -> bool {
    let issuer = settings.issuer(&kept.record.issuer);
    issuer.is_some_and(|issuer| {
        issuer.config.directory == kept.record.directory && issuer.config.profile == kept.record.profile
    })
}

fn account_name(issuer: &Issuer) -> String {
    format!("{} {}", issuer.config.name, issuer.config.directory)
}

fn since_epoch(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// No host has a space in it.
const LEDGER: &str = "orders begun";
/// As many as half of all nonces refused would need, nearly always.
const MOST_NONCES: u32 = 20;
const MOST_ORDERS: u32 = 3;
/// Between looks for a record that an operator has to set, in seconds.
const LOOK_AGAIN: u64 = 300;
/// How long to wait for a storage that can't say whom to leave alone.
const UNKNOWN: u64 = 60;
const SHORTLY: Duration = Duration::from_millis(100);
