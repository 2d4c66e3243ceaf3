//! Gauges of upstream servers, taken when they are asked for.
//!
//! Owns their names and labels. Labels are of the configuration and of what its names resolve to; a
//! server that is gone is gone from the next scrape.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// One address of one server of an upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerSample {
    pub upstream: String,
    /// As the configuration has it.
    pub server: String,
    /// Which of its addresses.
    pub address: String,
    pub healthy: bool,
    pub ejected: bool,
    pub draining: bool,
    pub in_flight: u32,
}

/// What is so now: servers, and upstreams with the number of requests that wait for one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UpstreamSample {
    pub servers: Vec<ServerSample>,
    pub waiting: Vec<(String, u32)>,
}

type Source = Box<dyn Fn() -> UpstreamSample + Send + Sync>;

/// The gauges and where their values come from.
#[derive(Default)]
pub(super) struct Servers {
    source: Mutex<Option<Source>>,
    healthy: Family<Labels, Gauge>,
    ejected: Family<Labels, Gauge>,
    draining: Family<Labels, Gauge>,
    in_flight: Family<Labels, Gauge>,
    waiting: Family<UpstreamLabel, Gauge>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    upstream: String,
    server: String,
    address: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct UpstreamLabel {
    upstream: String,
}

impl fmt::Debug for Servers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Servers")
    }
}

impl Servers {
    pub(super) fn register(&self, registry: &mut Registry) {
        let r = registry;
        r.register("upstream_server_healthy", "1 unless active checks fail", self.healthy.clone());
        r.register(
            "upstream_server_ejected",
            "1 while a server is left out because requests failed",
            self.ejected.clone(),
        );
        r.register(
            "upstream_server_draining",
            "1 while a server gets no new requests because it drains",
            self.draining.clone(),
        );
        r.register("upstream_server_in_flight", "Requests a server has", self.in_flight.clone());
        r.register("upstream_queued", "Requests that wait for a server", self.waiting.clone());
    }

    /// From now on, values come from `source`.
    pub(super) fn watch(&self, source: Source) {
        *self.source.lock().unwrap_or_else(PoisonError::into_inner) = Some(source);
    }

    /// Takes the values and has `encode` write them, which no other scrape disturbs.
    pub(super) fn fresh<T>(&self, encode: impl FnOnce() -> T) -> T {
        let source = self.source.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(source) = &*source {
            self.fill(source());
        }
        encode()
    }

    fn fill(&self, sample: UpstreamSample) {
        self.healthy.clear();
        self.ejected.clear();
        self.draining.clear();
        self.in_flight.clear();
        self.waiting.clear();
        for ServerSample { upstream, server, address, healthy, ejected, draining, in_flight } in
            sample.servers
        {
            let labels = Labels { upstream, server, address };
            self.healthy.get_or_create(&labels).set(i64::from(healthy));
            self.ejected.get_or_create(&labels).set(i64::from(ejected));
            self.draining.get_or_create(&labels).set(i64::from(draining));
            self.in_flight.get_or_create(&labels).set(i64::from(in_flight));
        }
        for (upstream, count) in sample.waiting {
            self.waiting.get_or_create(&UpstreamLabel { upstream }).set(i64::from(count));
        }
    }
}
