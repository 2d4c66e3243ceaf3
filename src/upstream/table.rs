//! The addresses of an upstream, compiled for choosing among them.
//!
//! Owns the table: levels (backups, priorities, zones) and the order in each. It is built when addresses
//! change and never after; what changes with every request is in the [`Endpoint`]s. What follows from
//! their health, which level is used and whether health is believed, is worked out on changes of state
//! and kept in one word, so that picking need not count.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use fluxheim_config::{Balance, HashKind, Upstream, UpstreamServer};

use super::balance::Turns;
use super::clock::Tick;
use super::endpoint::{Endpoint, Standing};
use super::hash::{Entry, Maglev, Ring};
use super::service::Found;
use super::shared::Shared;
use super::sticky::StickyKey;

/// Immutable, but for the choice of the level.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) shared: Arc<Shared>,
    pub(super) members: Vec<Member>,
    pub(super) levels: Vec<Level>,
    /// Members by the name that a sticky cookie has for them, in order.
    by_cookie: Vec<(u64, u16)>,
    choice: AtomicU32,
    /// How many changes of what drains it has seen.
    pub(super) drain_changes: u64,
}

/// One address and its part in the upstream.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) endpoint: Arc<Endpoint>,
    /// Index into the upstream's servers.
    pub(super) server: usize,
    pub(super) weight: u16,
    /// Within the server's own, as DNS has it.
    priority: u16,
    pub(super) most: Option<u32>,
}

/// Members that are equals: those of another level come in when these are not enough.
#[derive(Debug)]
pub(super) struct Level {
    pub(super) members: Vec<u16>,
    pub(super) order: Order,
}

/// How a member of a level is found.
#[derive(Debug)]
pub(super) enum Order {
    /// By turns; indexes into the level's members.
    Turns(Turns),
    /// By a drawn turn.
    Drawn(Turns),
    LeastConn,
    P2c,
    Ring(Ring),
    Maglev(Maglev),
}

/// Which level is used, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) level: usize,
    /// So few are healthy that it is not believed.
    pub(super) panic: bool,
}

impl Table {
    /// A table of what each server of `upstream` resolved to.
    pub(super) fn new(
        upstream: &Upstream,
        zone: Option<&str>,
        sticky: Option<&StickyKey>,
        resolved: &[Vec<Found>],
        shared: Arc<Shared>,
        now: Tick,
    ) -> Self {
        // Before what it counts is looked at.
        let drain_changes = shared.drain_changes();
        let members = members(upstream, resolved, &shared, now);
        let mut ranks: BTreeMap<(bool, u8, u16, bool), Vec<u16>> = BTreeMap::new();
        for (index, member) in (0_u16..).zip(&members) {
            let server = upstream.servers.get(member.server).filter(|server| !shared.drains(server).0);
            if let Some(server) = server {
                ranks.entry(rank(server, member.priority, zone)).or_default().push(index);
            }
        }
        let levels = ranks.into_values().map(|list| level(&upstream.balance, &members, list)).collect();
        let name =
            |(index, member): (u16, &Member)| sticky.map(|key| (key.name(&member.endpoint.address), index));
        let mut by_cookie: Vec<_> = (0..).zip(&members).filter_map(name).collect();
        by_cookie.sort_unstable();
        Self { shared, members, levels, by_cookie, choice: AtomicU32::new(0), drain_changes }
    }

    pub(super) fn member(&self, index: u16) -> Option<&Member> {
        self.members.get(usize::from(index))
    }

    /// The member that a sticky cookie means.
    pub(super) fn by_cookie(&self, name: u64) -> Option<u16> {
        let at = self.by_cookie.binary_search_by_key(&name, |(name, _)| *name).ok()?;
        self.by_cookie.get(at).map(|(_, index)| *index)
    }

    pub(super) fn choice(&self) -> Choice {
        let word = self.choice.load(Ordering::Relaxed);
        Choice { level: usize::try_from(word >> 1).unwrap_or(0), panic: word & 1 == 1 }
    }

    /// Works out the choice anew; returns the one before and the one now.
    pub(super) fn assess(&self, threshold: u8, now: Tick) -> (Choice, Choice) {
        let before = self.choice();
        let after = self.choose(threshold, now);
        let level = u32::try_from(after.level).unwrap_or(0);
        self.choice.store(level << 1 | u32::from(after.panic), Ordering::Relaxed);
        (before, after)
    }

    /// The first level with enough healthy servers, else the best one with its health ignored.
    fn choose(&self, threshold: u8, now: Tick) -> Choice {
        let mut best = (0, 0);
        for (level, it) in self.levels.iter().enumerate() {
            let healthy = it.members.iter().filter(|index| self.is_healthy(**index, now)).count();
            let percent = (healthy * 100).checked_div(it.members.len()).unwrap_or(0);
            if healthy > 0 && percent >= usize::from(threshold) {
                return Choice { level, panic: false };
            }
            if percent > best.0 {
                best = (percent, level);
            }
        }
        Choice { level: best.1, panic: threshold > 0 && !self.levels.is_empty() }
    }

    /// A server that may be tried again counts as healthy.
    fn is_healthy(&self, index: u16, now: Tick) -> bool {
        let Some(member) = self.member(index) else { return false };
        match member.endpoint.standing(now) {
            Standing::Up | Standing::HalfOpen => true,
            Standing::Unhealthy | Standing::Ejected => false,
        }
    }

    /// When the next ejection is over.
    pub(super) fn next_end(&self, now: Tick) -> Option<Tick> {
        let ends = self.members.iter().filter_map(|member| member.endpoint.ejected_until());
        ends.filter(|end| *end > now).min()
    }

    /// How many are left out after failures, or only just tried again.
    pub(super) fn ejected(&self) -> usize {
        self.members.iter().filter(|member| member.endpoint.ejected_until().is_some()).count()
    }
}

/// Backups after all others, then by priority, first the configuration's and then DNS's, then the own zone
/// first.
fn rank(server: &UpstreamServer, priority: u16, zone: Option<&str>) -> (bool, u8, u16, bool) {
    let elsewhere = zone.is_some_and(|zone| server.zone.as_deref() != Some(zone));
    (server.backup, server.priority, priority, elsewhere)
}

/// Every address once, with the settings of the first server that resolved to it.
fn members(upstream: &Upstream, resolved: &[Vec<Found>], shared: &Shared, now: Tick) -> Vec<Member> {
    let mut members: Vec<Member> = Vec::new();
    let mut seen = std::collections::BTreeSet::new();
    for (server, (config, addresses)) in upstream.servers.iter().zip(resolved).enumerate() {
        for found in addresses {
            if members.len() < MOST_ADDRESSES && seen.insert(found.address) {
                members.push(Member {
                    endpoint: shared.endpoint(found.address, now),
                    server,
                    weight: found.weight.unwrap_or(config.weight),
                    priority: found.priority,
                    most: config.max_in_flight,
                });
            }
        }
    }
    if upstream.health.is_none() {
        members.iter().for_each(|member| member.endpoint.unchecked());
    }
    if upstream.outlier.is_none() {
        members.iter().for_each(|member| member.endpoint.pardon());
    }
    members
}

fn level(balance: &Balance, members: &[Member], list: Vec<u16>) -> Level {
    let of = |index: &u16| members.get(usize::from(*index));
    let weights: Vec<u16> = list.iter().filter_map(of).map(|member| member.weight).collect();
    let entries = || -> Vec<Entry> {
        let entry = |index: &u16| of(index).map(|member| (member.endpoint.address, member.weight, *index));
        list.iter().filter_map(entry).collect()
    };
    let order = match balance {
        Balance::RoundRobin => Order::Turns(Turns::new(&weights)),
        Balance::Random => Order::Drawn(Turns::new(&weights)),
        Balance::LeastConn => Order::LeastConn,
        Balance::P2c => Order::P2c,
        Balance::Hash(hash) => match hash.kind {
            HashKind::Ketama => Order::Ring(Ring::new(&entries())),
            HashKind::Maglev => Order::Maglev(Maglev::new(&entries())),
        },
    };
    Level { members: list, order }
}

/// An index must fit u16; no upstream comes near this many addresses.
const MOST_ADDRESSES: usize = 4096;
