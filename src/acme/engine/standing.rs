//! How the hosts stand, for people who ask.
//!
//! Owns what is told of a host beside its certificate; decides nothing by it.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;

use super::due::State;

/// How a host stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// Tries in a row that failed.
    pub failures: u32,
    /// Why the last one did.
    pub error: Option<String>,
    /// An operator had its certificate revoked, and there is no other yet.
    pub revoked: bool,
}

/// Of every host, by its name, as of a moment ago.
#[derive(Debug, Clone, Default)]
pub(in crate::acme) struct Standings(Arc<ArcSwap<BTreeMap<String, Standing>>>);

impl Standings {
    /// That of a host; nothing is to be said of one that is not known.
    #[must_use]
    pub(in crate::acme) fn of(&self, host: &str) -> Standing {
        self.0.load().get(host).cloned().unwrap_or_default()
    }

    pub(super) fn tell(&self, hosts: &BTreeMap<String, State>) {
        let all: BTreeMap<_, _> =
            hosts.iter().map(|(name, state)| (name.clone(), state.standing())).collect();
        if **self.0.load() != all {
            self.0.store(Arc::new(all));
        }
    }
}
