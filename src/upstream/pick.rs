//! Which member of a table one attempt goes to.
//!
//! Owns the picking: no lock, no allocation, and no walk over all members but for `least_conn` and where
//! the usual ways find nobody.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::clock::Tick;
use super::endpoint::Standing;
use super::table::{Choice, Level, Member, Order, Table};

/// What one attempt asks for.
#[derive(Debug)]
pub(super) struct Ask<'a> {
    /// What `hash` hashes, hashed; `None` where the request has none of it.
    pub(super) key: Option<u64>,
    /// What its sticky cookie says.
    pub(super) pinned: Option<u64>,
    pub(super) tried: &'a Tried,
    pub(super) slow_start: Option<Duration>,
    pub(super) turns: &'a AtomicUsize,
    pub(super) now: Tick,
}

/// Members that this request was tried at.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tried {
    list: [u16; MOST_TRIED],
    count: usize,
}

impl Tried {
    /// Notes a member. Beyond the longest list nothing is noted, which no configuration reaches.
    pub(super) fn note(&mut self, index: u16) {
        if let Some(place) = self.list.get_mut(self.count) {
            *place = index;
            self.count += 1;
        }
    }

    /// Takes the last one back.
    pub(super) const fn forget(&mut self) {
        self.count = self.count.saturating_sub(1);
    }

    fn has(&self, index: u16) -> bool {
        self.list.iter().take(self.count).any(|tried| *tried == index)
    }
}

/// A member that the request was counted in at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entered {
    pub(super) member: u16,
    /// Whether it is the one try of a half-open server.
    pub(super) probe: bool,
}

/// Why there is no member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// No name has resolved.
    NoAddress,
    /// None that may be used.
    NoServer,
    /// Those that may be used have all they may have.
    Full,
}

impl Table {
    /// Picks a member and counts the request in.
    pub(super) fn pick(&self, ask: &Ask<'_>) -> Result<Entered, Refused> {
        let mut full = false;
        let choice = self.choice();
        if let Some(entered) = self.pinned(ask, choice) {
            return Ok(entered);
        }
        for (level, panic) in self.in_order(choice) {
            let mut search = Search { table: self, level, ask, panic, full: false };
            if let Some(entered) = search.run() {
                return Ok(entered);
            }
            full |= search.full;
        }
        Err(match full {
            true => Refused::Full,
            false if self.members.is_empty() => Refused::NoAddress,
            false => Refused::NoServer,
        })
    }

    /// Whether an attempt more would find a member.
    pub(super) fn has_another(&self, ask: &Ask<'_>) -> bool {
        self.in_order(self.choice()).any(|(level, panic)| {
            let search = Search { table: self, level, ask, panic, full: false };
            level.members.iter().any(|index| search.usable(*index).is_some())
        })
    }

    /// The chosen level, then the others, whose health is believed.
    fn in_order(&self, choice: Choice) -> impl Iterator<Item = (&Level, bool)> {
        let chosen = self.levels.get(choice.level).map(|level| (level, choice.panic));
        let others = self.levels.iter().enumerate().filter(move |(at, _)| *at != choice.level);
        chosen.into_iter().chain(others.map(|(_, level)| (level, false)))
    }

    /// The member that the cookie names: of any level, and though it drains.
    fn pinned(&self, ask: &Ask<'_>, choice: Choice) -> Option<Entered> {
        let index = self.by_cookie(ask.pinned?)?;
        self.enter(index, ask, choice.panic).ok()?
    }

    /// Counts the request in at a member, if it may go there; the error is that it is full.
    fn enter(&self, index: u16, ask: &Ask<'_>, panic: bool) -> Result<Option<Entered>, IsFull> {
        if ask.tried.has(index) {
            return Ok(None);
        }
        let Some(member) = self.member(index) else { return Ok(None) };
        let probe = match member.endpoint.standing(ask.now) {
            Standing::Up => false,
            Standing::HalfOpen if member.endpoint.claim_probe(ask.now) => true,
            Standing::HalfOpen | Standing::Unhealthy | Standing::Ejected if panic => false,
            Standing::HalfOpen | Standing::Unhealthy | Standing::Ejected => return Ok(None),
        };
        if member.endpoint.enter(member.most) {
            return Ok(Some(Entered { member: index, probe }));
        }
        if probe {
            member.endpoint.release_probe();
        }
        Err(IsFull)
    }
}

/// All the requests that a member may have.
struct IsFull;

/// One level, looked through for one attempt.
struct Search<'a> {
    table: &'a Table,
    level: &'a Level,
    ask: &'a Ask<'a>,
    panic: bool,
    full: bool,
}

impl Search<'_> {
    fn run(&mut self) -> Option<Entered> {
        match &self.level.order {
            Order::Turns(turns) => self.by_turns(|search| turns.at(search.next_turn())),
            Order::Drawn(turns) => self.by_turns(|_| turns.at(fastrand::usize(..))),
            Order::LeastConn => self.least_conn(),
            Order::P2c => self.better_of_two(),
            Order::Ring(ring) => {
                let start = self.ask.key.map(|key| ring.start(key));
                self.walk(start, |step| ring.at(step))
            }
            Order::Maglev(maglev) => {
                let start = self.ask.key.map(|key| maglev.start(key));
                self.walk(start, |step| maglev.at(step))
            }
        }
    }

    fn next_turn(&self) -> usize {
        self.ask.turns.fetch_add(1, Ordering::Relaxed)
    }

    /// Whoever can't take a turn gives it to the next in order, so that shares stay as they should be.
    fn by_turns(&mut self, next: impl Fn(&Self) -> Option<u16>) -> Option<Entered> {
        for _ in 0..TURNS {
            let index = *self.level.members.get(usize::from(next(self)?))?;
            let Some(member) = self.usable(index) else { continue };
            let ramp = self.ramp(member);
            if ramp < 1.0 && fastrand::f64() >= ramp {
                continue;
            }
            if let Some(entered) = self.enter(index) {
                return Some(entered);
            }
        }
        self.scan()
    }

    /// From the key's place on; from anywhere without a key.
    fn walk(&mut self, start: Option<usize>, at: impl Fn(usize) -> Option<u16>) -> Option<Entered> {
        // Half of the range, so that no step overflows.
        let start = start.unwrap_or_else(|| fastrand::usize(..usize::MAX / 2));
        for step in 0..STEPS {
            if let Some(entered) = self.enter(at(start + step)?) {
                return Some(entered);
            }
        }
        self.scan()
    }

    fn least_conn(&mut self) -> Option<Entered> {
        // Another request may take the place that was found.
        for _ in 0..TRIES {
            let start = self.next_turn();
            let mut least: Option<(f64, u16)> = None;
            for index in self.from(start) {
                let Some(member) = self.usable(index) else { continue };
                let cost = self.cost(member, 1.0);
                if least.is_none_or(|(known, _)| cost < known) {
                    least = Some((cost, index));
                }
            }
            let Some((_, index)) = least else { break };
            if let Some(entered) = self.enter(index) {
                return Some(entered);
            }
        }
        self.scan()
    }

    fn better_of_two(&mut self) -> Option<Entered> {
        let Some(one) = self.draw(None) else { return self.scan() };
        let Some(other) = self.draw(Some(one.0)) else { return self.enter(one.0).or_else(|| self.scan()) };
        let estimate = |member: &Member| member.endpoint.latency.estimate(self.ask.now);
        // One that nobody knows yet is taken to be as fast as the other.
        let (first, second) = match (estimate(one.1), estimate(other.1)) {
            (None, None) => (1.0, 1.0),
            (Some(known), None) | (None, Some(known)) => (known, known),
            (Some(first), Some(second)) => (first, second),
        };
        let swap = self.cost(other.1, second) < self.cost(one.1, first);
        let (better, worse) = if swap { (other.0, one.0) } else { (one.0, other.0) };
        self.enter(better).or_else(|| self.enter(worse)).or_else(|| self.scan())
    }

    /// A usable member at random.
    fn draw(&self, but: Option<u16>) -> Option<(u16, &Member)> {
        let members = &self.level.members;
        if members.is_empty() {
            return None;
        }
        let fits = |index: u16| {
            let member = self.usable(index).filter(|_| but != Some(index))?;
            Some((index, member))
        };
        let drawn = |_| members.get(fastrand::usize(..members.len())).and_then(|index| fits(*index));
        (0..DRAWS).find_map(drawn).or_else(|| self.from(fastrand::usize(..members.len())).find_map(fits))
    }

    /// Anybody, from anywhere on.
    fn scan(&mut self) -> Option<Entered> {
        let start = fastrand::usize(..self.level.members.len().max(1));
        let level = self.level;
        let (after, before) = (level.members.iter().skip(start), level.members.iter().take(start));
        after.chain(before).find_map(|index| self.enter(*index))
    }

    /// The members from a place on, round to it.
    fn from(&self, start: usize) -> impl Iterator<Item = u16> {
        let members = &self.level.members;
        let start = start.checked_rem(members.len()).unwrap_or(0);
        members.iter().skip(start).chain(members.iter().take(start)).copied()
    }

    /// Requests in flight with this one, times `each`, for a share of 1.
    fn cost(&self, member: &Member, each: f64) -> f64 {
        let requests = f64::from(member.endpoint.in_flight()) + 1.0;
        each * requests / (f64::from(member.weight) * self.ramp(member))
    }

    fn ramp(&self, member: &Member) -> f64 {
        member.endpoint.ramp(self.ask.slow_start, self.ask.now)
    }

    /// The member, if the request may go there as things are.
    fn usable(&self, index: u16) -> Option<&Member> {
        let member = self.table.member(index)?;
        let open = self.panic || member.endpoint.is_open(self.ask.now);
        let room = member.most.is_none_or(|most| member.endpoint.in_flight() < most);
        (open && room && !self.ask.tried.has(index)).then_some(member)
    }

    /// Counts the request in, if it may go there.
    fn enter(&mut self, index: u16) -> Option<Entered> {
        match self.table.enter(index, self.ask, self.panic) {
            Ok(entered) => entered,
            Err(IsFull) => {
                self.full = true;
                None
            }
        }
    }
}

/// As many as there can be attempts.
const MOST_TRIED: usize = 10;
/// Turns to take before everybody is asked.
const TURNS: usize = 16;
/// Steps of a walk before everybody is asked.
const STEPS: usize = 512;
/// Times that least_conn looks for the least.
const TRIES: usize = 3;
/// Draws before everybody is asked.
const DRAWS: usize = 8;
