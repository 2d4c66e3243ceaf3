//! What runs all the time: looks when which certificate is due, and has it ordered.
//!
//! Owns the loop, and which certificates are served. One replica orders at a time; the others take over what
//! it puts into the store. Every plan is made anew each minute from the time of day, so that neither a clock
//! that jumps nor a machine that slept leads it astray.

mod answers;
mod due;
mod operator;
mod standing;
mod suggested;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fluxheim_config::BeforeFirst;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::attempt::{Attempts, Ended};
use super::challenges::Challenges;
use super::clock::seconds;
use super::failure::Failure;
use super::pair::{self, Facts};
use super::presenting::Presenter;
use super::record::CertificateRecord;
use super::settings::{Host, Settings};
use super::store::{Change, Key, Kind, Lease, Name, Store};
use due::{Due, State};
pub(super) use operator::Command;
pub use operator::{Order, Refused};
pub use standing::Standing;
pub(super) use standing::Standings;
use suggested::ask;

use crate::telemetry::Telemetry;
use crate::tls::Resolver;

/// The state behind all ACME of a process.
pub struct Engine {
    settings: watch::Receiver<Arc<Settings>>,
    commands: mpsc::Receiver<Command>,
    store: Arc<dyn Store>,
    attempts: Arc<Attempts>,
    certificates: Arc<Resolver>,
    hosts: BTreeMap<String, State>,
    standings: Standings,
    tasks: JoinSet<Done>,
    lease: Option<Arc<Lease>>,
}

/// What a task did.
struct Done {
    host: String,
    what: What,
}

enum What {
    Ended(Ended),
    Asked,
    TakenBack,
}

impl Engine {
    /// See [`super::engine`].
    #[must_use]
    pub(super) fn new(
        settings: watch::Receiver<Arc<Settings>>,
        commands: mpsc::Receiver<Command>,
        store: Arc<dyn Store>,
        challenges: Challenges,
        certificates: Arc<Resolver>,
        telemetry: Arc<Telemetry>,
    ) -> Self {
        let presenter = Presenter { challenges, store: Arc::clone(&store) };
        let attempts = Arc::new(Attempts::new(Arc::clone(&store), presenter, telemetry));
        Self {
            settings,
            commands,
            store,
            attempts,
            certificates,
            hosts: BTreeMap::new(),
            standings: Standings::default(),
            tasks: JoinSet::new(),
            lease: None,
        }
    }

    /// How every host stands, kept up to date.
    pub(super) fn standings(&self) -> Standings {
        self.standings.clone()
    }

    /// Serves what the store has already, or what stands in for it: before the first client comes.
    pub async fn prepare(&mut self) {
        if tokio::time::timeout(PREPARING, self.follow()).await.is_ok() {
            return;
        }
        tracing::error!("the storage of [acme] does not answer: certificates follow when it does");
        let settings = Arc::clone(&self.settings.borrow());
        for host in &settings.hosts {
            self.hosts.entry(host.name.clone()).or_default().host = Some(host.clone());
            if self.hosts.get(&host.name).is_some_and(|state| state.facts.is_none()) {
                self.stand_in(&settings, host);
            }
        }
    }

    /// Runs for good.
    pub async fn run(mut self) {
        let mut changes = self.store.changes();
        // What came between the preparation and this.
        self.look_again().await;
        loop {
            let wait = self.work().await;
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                change = changes.next() => self.take_over(change).await,
                changed = self.settings.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    self.follow().await;
                }
                Some(command) = self.commands.recv() => self.obey(command).await,
                Some(done) = self.tasks.join_next() => self.done(done).await,
            }
        }
    }

    /// Begins what is due, and says how long nothing else will be.
    async fn work(&mut self) -> Duration {
        let settings = Arc::clone(&self.settings.borrow());
        let now = seconds();
        let mut next = u64::MAX;
        let mut due = Vec::new();
        for (name, state) in &self.hosts {
            let (Some(host), false) = (&state.host, state.busy) else { continue };
            let (at, what) = state.due(settings.acme.renew_before, now);
            self.attempts.telemetry.metrics.acme.next(name, at);
            match at <= now {
                true => due.push((host.clone(), what)),
                false => next = next.min(at),
            }
        }
        self.standings.tell(&self.hosts);
        self.attempts.telemetry.metrics.acme.storage(self.store.is_up());
        if due.is_empty() && self.tasks.is_empty() {
            self.lease = None;
            return Duration::from_secs(next.saturating_sub(now).clamp(1, MINUTE));
        }
        let room = usize::try_from(settings.acme.max_concurrent_orders).unwrap_or(1);
        let room = room.saturating_sub(self.tasks.len());
        if room > 0 && !due.is_empty() {
            let led = self.lease.is_some();
            if !self.is_leader().await {
                return ANOTHER_LEADS;
            }
            if !led {
                // What is due was read before: another one may have done it meanwhile.
                return Duration::ZERO;
            }
        }
        for (host, what) in due.into_iter().take(room) {
            self.begin(&settings, host, what);
        }
        Duration::from_secs(next.saturating_sub(now).clamp(1, MINUTE))
    }

    /// Whether this is the replica that orders.
    async fn is_leader(&mut self) -> bool {
        if self.lease.as_ref().is_some_and(|lease| lease.is_held()) {
            return true;
        }
        self.lease = match self.store.try_lock(&Name::of(LOCK), LOCK_TTL).await {
            Ok(lease) => lease.map(Arc::new),
            Err(error) => {
                tracing::warn!(%error, "no certificate is ordered while the storage is out of order");
                None
            }
        };
        if self.lease.is_some() {
            self.sweep().await;
            // Another one may have ordered meanwhile.
            self.look_again().await;
        }
        self.lease.is_some()
    }

    fn begin(&mut self, settings: &Arc<Settings>, host: Host, what: Due) {
        let Some(lease) = self.lease.clone() else { return };
        let Some(state) = self.hosts.get_mut(&host.name) else { return };
        state.busy = true;
        let (settings, attempts) = (Arc::clone(settings), Arc::clone(&self.attempts));
        let facts = state.facts.clone();
        self.tasks.spawn(async move {
            let what = match what {
                Due::Order => What::Ended(attempts.attempt(&settings, &host, &lease).await),
                Due::Ask => {
                    ask(&attempts, &settings, &host, facts.as_ref(), &lease).await;
                    What::Asked
                }
                Due::TakeBack => {
                    attempts.take_back(&settings, &host, &lease).await;
                    What::TakenBack
                }
            };
            Done { host: host.name, what }
        });
    }

    async fn done(&mut self, done: Result<Done, tokio::task::JoinError>) {
        let done = match done {
            Ok(done) => done,
            Err(error) => {
                tracing::error!(%error, "an order ended by a fault of the program");
                self.broke_off();
                return;
            }
        };
        let settings = Arc::clone(&self.settings.borrow());
        self.look(&settings, &done.host).await;
        let Some(state) = self.hosts.get_mut(&done.host) else { return };
        state.busy = false;
        let answer = match done.what {
            What::Asked | What::TakenBack => return,
            What::Ended(Ended::Issued) => {
                state.wanted = false;
                if state.facts.as_ref().is_some_and(Facts::came_late) {
                    tracing::warn!(host = done.host, "by this machine's clock, {LATE}");
                }
                Ok(format!("{} has a new certificate", done.host))
            }
            What::Ended(Ended::Failed(why)) => {
                state.wanted = false;
                Err(why)
            }
            What::Ended(Ended::Waiting { until, why }) => {
                state.schedule.not_before = until;
                state.schedule.decided = seconds();
                state.wanted = false;
                tracing::info!(host = done.host, reason = why, "no certificate is ordered yet");
                Err(why)
            }
        };
        for waiting in std::mem::take(&mut state.waiting) {
            let answer = answer.clone().map_err(Refused::Failed);
            // Whoever waited may have gone.
            let _ = waiting.send(answer);
        }
    }

    /// Which host it was is not known any more: none stays busy for ever, and none comes again at once.
    fn broke_off(&mut self) {
        let now = seconds();
        for state in self.hosts.values_mut().filter(|state| state.busy) {
            state.busy = false;
            state.wanted = false;
            state.schedule.decided = now;
            state.schedule.not_before = now + MINUTE;
            for waiting in std::mem::take(&mut state.waiting) {
                // Whoever waited may have gone.
                let _ = waiting.send(Err(Refused::Failed("it ended by a fault of the program".to_owned())));
            }
        }
    }

    /// Works by the configuration that there is now.
    async fn follow(&mut self) {
        let settings = Arc::clone(&self.settings.borrow_and_update());
        self.attempts.forget_accounts().await;
        let gone: Vec<_> = self
            .hosts
            .keys()
            .filter(|name| settings.hosts.iter().all(|host| host.name != **name))
            .cloned()
            .collect();
        for name in gone {
            self.hosts.remove(&name);
            self.certificates.remove(&name);
            self.attempts.telemetry.metrics.acme.forget(&name);
        }
        for host in &settings.hosts {
            self.hosts.entry(host.name.clone()).or_default().host = Some(host.clone());
        }
        self.look_again().await;
    }

    async fn take_over(&mut self, change: Change) {
        let settings = Arc::clone(&self.settings.borrow());
        match change {
            Change::Key(key) => match key.kind {
                Kind::Challenge => self.attempts.presenter.challenges.follow(&key).await,
                Kind::Certificate | Kind::Schedule => {
                    let host = settings.hosts.iter().find(|host| Name::of(&host.name) == key.name);
                    if let Some(host) = host {
                        self.look(&settings, &host.name).await;
                    }
                }
                Kind::Account | Kind::Order => {}
            },
            Change::Anything => {
                self.look_again().await;
                self.follow_challenges().await;
            }
        }
    }

    async fn look_again(&mut self) {
        let settings = Arc::clone(&self.settings.borrow());
        for host in &settings.hosts {
            self.look(&settings, &host.name).await;
        }
    }

    /// Serves what the store has for `name`, and notes when something is due.
    async fn look(&mut self, settings: &Settings, name: &str) {
        let Some(host) = self.hosts.get(name).and_then(|state| state.host.clone()) else { return };
        let schedule = self.attempts.schedule(name).await;
        let ordered = self.store.get(&Key::order(name)).await;
        let facts = self.serve(settings, &host).await;
        let Some(state) = self.hosts.get_mut(name) else { return };
        // What can't be read is as it was: a storage that is away must not make a CA be asked too early.
        if let Ok((schedule, _)) = schedule {
            self.attempts.telemetry.metrics.acme.failures(name, schedule.failures);
            state.schedule = schedule;
        }
        if let Ok(order) = ordered {
            state.ordered = order.is_some();
        }
        if facts.is_some() {
            state.facts = facts;
        }
    }

    /// Installs the certificate for `host`, or what stands in for it.
    async fn serve(&self, settings: &Settings, host: &Host) -> Option<Facts> {
        let known = self.hosts.get(&host.name).is_some_and(|state| state.facts.is_some());
        let entry = match self.store.get(&Key::certificate(&host.name)).await {
            Ok(entry) => entry,
            Err(error) => {
                tracing::error!(host = host.name, %error, "the certificate can't be read");
                None
            }
        };
        let Some(entry) = entry else {
            if !known {
                self.stand_in(settings, host);
            }
            return None;
        };
        let read = |bytes: &[u8]| -> Result<_, Failure> {
            let record = CertificateRecord::read(bytes)?;
            let pair = pair::certified(&record.chain, &record.key.0)?;
            Ok((Facts { issued: record.origin.issued, ..pair::facts(&pair)? }, pair))
        };
        let pair = read(entry.value.as_bytes());
        match pair {
            Ok((facts, pair)) => {
                self.certificates.install(&host.name, vec![pair]);
                Some(facts)
            }
            Err(error) => {
                tracing::error!(host = host.name, %error, "the certificate that is kept can't be used");
                if !known {
                    self.stand_in(settings, host);
                }
                None
            }
        }
    }

    fn stand_in(&self, settings: &Settings, host: &Host) {
        match settings.acme.before_first {
            BeforeFirst::Refuse => self.certificates.remove(&host.name),
            BeforeFirst::Placeholder => match pair::placeholder(&host.name) {
                Ok(pair) => self.certificates.install(&host.name, vec![pair]),
                Err(error) => tracing::warn!(host = host.name, %error, "no placeholder can be made"),
            },
        }
    }
}

/// A local disk takes far less; a storage that is away must not keep us from serving the rest.
const PREPARING: Duration = Duration::from_secs(10);
const LATE: &str = "the certificate that came just now is old: is the clock right?";
const LOCK: &str = "orders";
/// A replica that died holds up the others for no longer.
const LOCK_TTL: Duration = Duration::from_secs(30);
const ANOTHER_LEADS: Duration = Duration::from_secs(5);
const MINUTE: u64 = 60;
