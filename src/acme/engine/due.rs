//! When something is to be done for a host, and what.
//!
//! Owns the decision alone: from what is known and the time of day, anew each time.

use std::time::Duration;

use tokio::sync::oneshot;

use super::suggested::LONGEST_ASK;
use super::{Refused, Standing};
use crate::acme::pair::Facts;
use crate::acme::record::ScheduleRecord;
use crate::acme::schedule;
use crate::acme::settings::Host;

/// What is known of one host.
#[derive(Default)]
pub(super) struct State {
    pub(super) host: Option<Host>,
    pub(super) facts: Option<Facts>,
    pub(super) schedule: ScheduleRecord,
    /// Whether something is under way.
    pub(super) busy: bool,
    /// Whether an order is kept that a crash may have left.
    pub(super) ordered: bool,
    /// Asked for by an operator.
    pub(super) wanted: bool,
    pub(super) waiting: Vec<oneshot::Sender<Result<String, Refused>>>,
}

/// What is to be done for a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    Order,
    /// Ask the CA when to renew (RFC 9773).
    Ask,
    /// Take back records that were left.
    TakeBack,
}

impl State {
    pub(super) fn standing(&self) -> Standing {
        let revoked = self.schedule.revoked.is_some()
            && self.schedule.revoked == self.facts.as_ref().map(|facts| (facts.not_before, facts.not_after));
        let failures = self.schedule.failures;
        Standing { failures, error: self.schedule.error.clone().filter(|_| failures > 0), revoked }
    }

    /// What is due, and when, where certificates are renewed that long before their end.
    pub(super) fn due(&self, renew_before: Option<Duration>, now: u64) -> (u64, Due) {
        let (at, what) = self.asked_of_a_ca(renew_before, now);
        // An order takes them back at its end.
        match self.schedule.left.iter().map(|left| left.due(now)).min() {
            Some(back) if at > now && back < at => (back, Due::TakeBack),
            _ => (at, what),
        }
    }

    fn asked_of_a_ca(&self, renew_before: Option<Duration>, now: u64) -> (u64, Due) {
        if self.wanted {
            return (0, Due::Order);
        }
        // A clock that was set back must not make anybody wait for it to catch up.
        let not_before = if self.schedule.decided <= now { self.schedule.not_before } else { 0 };
        let Some(facts) = &self.facts else { return (not_before, Due::Order) };
        if self.ordered || self.schedule.revoked == Some((facts.not_before, facts.not_after)) {
            return (not_before, Due::Order);
        }
        let before = renew_before.map(|before| before.as_secs());
        let chance = schedule::chance((self.host.as_ref().map(|host| &host.name), facts.not_after));
        let own = schedule::renewal(facts.not_before, facts.not_after, before, chance);
        let id = facts.id.as_ref().map(ToString::to_string);
        let told = self.schedule.window.filter(|_| id.is_some() && self.schedule.of == id);
        let renewal = told.map_or(own, |window| schedule::within(window, chance).min(facts.not_after));
        let order = renewal.max(facts.earliest_renewal(now)).max(not_before);
        let ask = if self.schedule.of == id { self.schedule.ask.min(now + LONGEST_ASK) } else { 0 };
        match id {
            Some(_) if ask < order && order > now => (ask, Due::Ask),
            _ => (order, Due::Order),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000;
    const LIFE: u64 = 90 * 86_400;

    /// A host whose certificate has just begun.
    fn fresh() -> State {
        let facts = Facts { not_before: NOW, not_after: NOW + LIFE, id: None, issued: NOW };
        State { facts: Some(facts), ..State::default() }
    }

    #[test]
    fn without_a_certificate_one_is_due_once_it_may_be_asked_for() {
        let mut state = State::default();
        assert_eq!(state.due(None, NOW), (0, Due::Order));
        (state.schedule.decided, state.schedule.not_before) = (NOW, NOW + 60);
        assert_eq!(state.due(None, NOW), (NOW + 60, Due::Order));
        // The clock was set back since: nobody waits for it to catch up.
        assert_eq!(state.due(None, NOW - 3600), (0, Due::Order));
    }

    #[test]
    fn a_certificate_is_renewed_at_two_thirds_of_its_life_or_as_configured() {
        let (at, what) = fresh().due(None, NOW);
        assert!(what == Due::Order && (NOW + LIFE / 2..=NOW + LIFE * 2 / 3).contains(&at), "{}", at - NOW);
        let (at, _) = fresh().due(Some(Duration::from_secs(86_400)), NOW);
        assert!(at > NOW + LIFE * 9 / 10, "{}", at - NOW);
    }

    #[test]
    fn by_a_clock_that_is_ahead_not_every_certificate_is_due_as_soon_as_it_comes() {
        let late = NOW + LIFE * 9 / 10;
        let mut state = fresh();
        // Known before the clock was: due at once.
        assert!(state.due(None, late).0 <= late);
        // The one that came then is as old.
        state.facts = state.facts.map(|facts| Facts { issued: late, ..facts });
        assert_eq!(state.due(None, late), (late + LIFE / 30, Due::Order));
        assert_eq!(state.due(None, late + LIFE / 30).0, late + LIFE / 30);
        // The clock was set back since.
        let (at, _) = state.due(None, NOW + 60);
        assert!((NOW + LIFE / 2..=NOW + LIFE * 2 / 3).contains(&at), "{}", at - NOW);
        // Those that a CA dates back a little are as others.
        // A clock at the end of it or past it is no reason to hurry.
        for late in [NOW + LIFE - 60, NOW + 2 * LIFE] {
            state.facts = state.facts.map(|facts| Facts { issued: late, ..facts });
            assert!(state.due(None, late).0 >= late + LIFE / 30);
        }
        state.facts = state.facts.map(|facts| Facts { issued: NOW + 3600, ..facts });
        assert!(state.due(None, NOW).0 <= NOW + LIFE * 2 / 3);
    }

    #[test]
    fn one_that_is_revoked_is_replaced_as_soon_as_may_be_and_its_successor_is_not() {
        let mut state = fresh();
        state.schedule.revoked = Some((NOW, NOW + LIFE));
        assert_eq!(state.due(None, NOW), (0, Due::Order));
        (state.schedule.decided, state.schedule.not_before) = (NOW, NOW + 60);
        assert_eq!(state.due(None, NOW), (NOW + 60, Due::Order));
        state.facts =
            Some(Facts { not_before: NOW + 90, not_after: NOW + 90 + LIFE, id: None, issued: NOW + 90 });
        assert!(state.due(None, NOW + 90).0 > NOW + LIFE / 2);
    }

    #[test]
    fn records_that_were_left_wait_for_no_renewal() {
        let mut state = fresh();
        let left = r#"{"left":[{"name":"n","value":"v","provider":"hook","not_before":1800000060}]}"#;
        state.schedule = crate::acme::record::read(left.as_bytes()).unwrap();
        assert_eq!(state.due(None, NOW), (NOW + 60, Due::TakeBack));
        state.schedule.left[0].not_before = 0;
        assert_eq!(state.due(None, NOW), (0, Due::TakeBack), "of a process that has ended");
        state.wanted = true;
        assert_eq!(state.due(None, NOW), (0, Due::Order), "which takes them back");
    }

    #[test]
    fn what_an_operator_wants_waits_for_nothing_and_an_order_under_way_goes_on() {
        let mut state = fresh();
        (state.schedule.decided, state.schedule.not_before) = (NOW, NOW + 60);
        state.ordered = true;
        assert_eq!(state.due(None, NOW), (NOW + 60, Due::Order));
        state.wanted = true;
        assert_eq!(state.due(None, NOW), (0, Due::Order));
    }
}
