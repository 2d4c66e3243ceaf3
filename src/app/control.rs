//! What the admin API asks for, done.
//!
//! Owns the way from the running process to what is shown of it, and from an order to where orders are carried out.

use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use fluxheim_posture::handoff;
use fluxheim_posture::proxy::ProxyReport;
use tokio::sync::{mpsc, oneshot};

use crate::acme::Handle;
use crate::admin::seen::{
    Address, Certificate, Control as ControlSeen, Draining, Health, Listener, Posture, Reloaded, Server,
    ServerState, SetBy, Status, Upstream,
};
use crate::admin::{Acme, Operations, Refusal};
use crate::app::expiry;
use crate::app::record::{Record, unix_now};
use crate::app::rotate;
use crate::app::shown::{Known, certificate};
use crate::app::signals::Order;
use crate::edge::live::Live;
use crate::telemetry::Telemetry;
use crate::tls::{Entry, Source, Termination};
use crate::types::{BUILD_PROFILE, COMMIT, VERSION};
use crate::upstream::clock::Tick;
use crate::upstream::{Pool, ServerListed, ServerSeen};

/// Everything that is shown and told.
pub(super) struct Control {
    pub live: Arc<ArcSwap<Live>>,
    pub termination: Arc<Termination>,
    pub telemetry: Arc<Telemetry>,
    pub record: Arc<Record>,
    pub orders: mpsc::UnboundedSender<Order>,
    pub listeners: Vec<Listener>,
    pub evidence: Evidence,
    pub started: (u64, Instant),
    /// Who orders certificates.
    pub acme: Option<Arc<dyn Acme>>,
    /// The same, who knows how each host stands.
    pub engine: Option<Handle>,
}

/// What is known of the process's hardening.
#[derive(Debug, Clone)]
pub(super) struct Evidence {
    /// What was judged, if anybody did.
    pub posture: Option<handoff::Posture>,
    /// What the process did and saw itself.
    pub report: ProxyReport,
}

/// The time now, on both clocks.
pub(super) fn started_now() -> (u64, Instant) {
    (unix_now(), Instant::now())
}

#[async_trait]
impl Operations for Control {
    fn status(&self) -> Status {
        let lifecycle = &self.telemetry.lifecycle;
        let (config, last_reload) = self.record.seen();
        let (started, since) = self.started;
        Status {
            version: VERSION.to_owned(),
            commit: COMMIT.to_owned(),
            build: BUILD_PROFILE.to_owned(),
            pid: std::process::id(),
            started,
            uptime: since.elapsed().as_secs(),
            ready: lifecycle.ready(),
            draining: lifecycle.draining(),
            connections: lifecycle.connections(),
            in_flight: lifecycle.in_flight(),
            config,
            last_reload,
            listeners: self.listeners.clone(),
            upstreams: self.upstreams(),
        }
    }

    fn upstreams(&self) -> Vec<Upstream> {
        self.live.load().list_upstreams().map(|(pool, servers)| upstream(pool, servers)).collect()
    }

    fn certificates(&self) -> Vec<Certificate> {
        let now = expiry::now();
        let entries = self.termination.resolver().inventory().into_iter();
        entries
            .map(|entry| (self.known(&entry), entry))
            .map(|(known, entry)| certificate(entry, known, now))
            .collect()
    }

    fn posture(&self) -> Posture {
        let Evidence { posture, report } = &self.evidence;
        let controls = posture.iter().flat_map(|posture| &posture.controls).map(|seen| ControlSeen {
            control: seen.control.name().to_owned(),
            level: seen.level.name().to_owned(),
            result: seen.result.name().to_owned(),
        });
        Posture {
            verified: posture.is_some(),
            secrets_off_swap: posture.as_ref().map(|posture| posture.secrets_off_swap.name().to_owned()),
            controls: controls.collect(),
            proxy: serde_json::to_value(report).unwrap_or_default(),
        }
    }

    async fn reload(&self) -> Result<Reloaded, Refusal> {
        let stopping = || Refusal::Conflict("the process is stopping: it takes no configuration".to_owned());
        if self.telemetry.lifecycle.draining() {
            return Err(stopping());
        }
        let before = self.record.seen().0.sha256;
        let (reply, outcome) = oneshot::channel();
        self.orders.send(Order::Reload(Some(reply))).map_err(|_| stopping())?;
        match outcome.await.map_err(|_| stopping())? {
            Ok(taken) => Ok(Reloaded {
                changed: taken.sha256 != before,
                sha256: taken.sha256,
                until_restart: taken.until_restart.into_iter().map(str::to_owned).collect(),
            }),
            Err(mistakes) => {
                let detail = "the configuration was refused, the running one stays".to_owned();
                Err(Refusal::Refused { detail, mistakes })
            }
        }
    }

    fn drain(&self) -> Draining {
        // Nobody there to hear it: the process is stopping already.
        let _ = self.orders.send(Order::Stop);
        let (live, lifecycle) = (self.live.load(), &self.telemetry.lifecycle);
        Draining {
            connections: lifecycle.connections(),
            in_flight: lifecycle.in_flight(),
            drain_delay: live.config.server.drain_delay.as_secs_f64(),
            drain_timeout: live.config.server.drain_timeout.as_secs_f64(),
        }
    }

    fn set_server(&self, name: &str, server: &str, state: ServerState) -> Result<Upstream, Refusal> {
        loop {
            let live = self.live.load_full();
            let pool = live.pools.iter().find(|pool| pool.config.name == name);
            let pool = pool.ok_or_else(|| Refusal::NotFound(format!("there is no upstream {name:?}")))?;
            if !pool.set_drain(server, state == ServerState::Drain) {
                let known = pool.listed(Tick::now());
                let known: Vec<_> = known.into_iter().map(|listed| listed.server).collect();
                let known = known.join(", ");
                return Err(Refusal::NotFound(format!(
                    "upstream {name:?} has no server {server:?}; it has {known}"
                )));
            }
            // A reload may have put another pool in its place just then.
            if Arc::ptr_eq(&live, &self.live.load_full()) {
                return Ok(upstream(pool, pool.listed(Tick::now())));
            }
        }
    }

    fn acme(&self) -> Option<&dyn Acme> {
        self.acme.as_deref()
    }
}

impl Control {
    fn known(&self, entry: &Entry) -> Known {
        match (entry.source, &self.engine) {
            (Source::File, _) => {
                Known { refused: self.record.why_refused(&rotate::named(&entry.name)), ..Known::default() }
            }
            (Source::Issued, Some(engine)) => Known { refused: None, standing: engine.standing(&entry.name) },
            (Source::Issued, None) => Known::default(),
        }
    }
}

fn upstream(pool: &Pool, servers: Vec<ServerListed>) -> Upstream {
    let servers = servers.into_iter().map(|listed| Server {
        server: listed.server,
        state: if listed.draining { ServerState::Drain } else { ServerState::Ready },
        set_by: if listed.overridden { SetBy::Admin } else { SetBy::Config },
        addresses: listed.addresses.iter().map(address).collect(),
    });
    Upstream { name: pool.config.name.clone(), waiting: pool.waiting(), servers: servers.collect() }
}

fn address(seen: &ServerSeen) -> Address {
    let health = match (seen.healthy, seen.ejected) {
        (false, _) => Health::Unhealthy,
        (true, true) => Health::Ejected,
        (true, false) => Health::Up,
    };
    Address { address: seen.address.to_string(), health, in_flight: seen.in_flight }
}
