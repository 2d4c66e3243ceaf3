//! What connections have to keep to, listener by listener.
//!
//! Owns the values that listeners read at each accept, and their change by a reload.

use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use fluxheim_config::{Config, Limits, Listener};

use crate::listen::{Manner, Pace, Patience, Taking};
use crate::types::Scheme;
use crate::wire::Bounds;

/// One for each listener that was opened, in the order of the configuration.
#[derive(Debug, Default)]
pub(super) struct Manners(Vec<Open>);

#[derive(Debug)]
struct Open {
    scheme: Scheme,
    /// As the configuration gives it.
    address: SocketAddr,
    manner: Arc<ArcSwap<Manner>>,
}

impl Manners {
    /// Those of `listener`, as they are now and as they will be.
    pub(super) fn of(&mut self, scheme: Scheme, at: &Listener, limits: &Limits) -> Arc<ArcSwap<Manner>> {
        let shared = Arc::new(ArcSwap::from_pointee(manner(at, limits)));
        self.0.push(Open { scheme, address: at.address, manner: Arc::clone(&shared) });
        shared
    }

    /// New connections keep to `config`. A listener that it doesn't have any more stays as it was, as it stays
    /// open until a restart.
    pub(super) fn follow(&self, config: &Config) {
        for (scheme, listeners) in
            [(Scheme::Http, &config.server.http), (Scheme::Https, &config.server.https)]
        {
            let mut open: Vec<_> = self.0.iter().filter(|open| open.scheme == scheme).collect();
            for listener in listeners {
                // Each once: several may have an address whose port the system chooses.
                let Some(at) = open.iter().position(|open| open.address == listener.address) else {
                    continue;
                };
                open.remove(at).manner.store(Arc::new(manner(listener, &config.limits)));
            }
        }
    }
}

fn manner(listener: &Listener, limits: &Limits) -> Manner {
    let limits = listener.limits.over(limits);
    let writing = Taking { patience: limits.write_timeout, min_rate: limits.min_response_rate };
    Manner { pace: pace(&limits), patience: Patience { opening: limits.read_timeout, writing } }
}

const fn pace(limits: &Limits) -> Pace {
    Pace {
        bounds: Bounds { size: limits.max_header_size, fields: limits.max_header_count },
        header_timeout: limits.header_timeout,
        min_body_rate: limits.min_body_rate,
        h2_resets: limits.max_h2_resets,
        h2_control_frames: limits.max_h2_control_frames,
        h2_streams: limits.max_h2_streams,
    }
}
