use super::*;

const TERM: i32 = Signal::SIGTERM as i32;

fn machine() -> (Machine, Instant) {
    let now = Instant::now();
    let mut machine = Machine::new(now, Duration::from_secs(10));
    assert!(machine.reported());
    (machine, now)
}

fn after(now: Instant, millis: u64) -> Instant {
    now + Duration::from_millis(millis)
}

#[test]
fn exits_with_the_main_child_s_code_when_nobody_is_left() {
    let (mut machine, now) = machine();
    assert_eq!(machine.main_ended(3, now), Act::TermOthers);
    assert_eq!(machine.over(), None);
    machine.nobody_left();
    assert_eq!(machine.over(), Some(3));
}

#[test]
fn a_stop_is_forwarded_and_starts_the_clock() {
    let (mut machine, now) = machine();
    assert_eq!(machine.due(), None);
    assert_eq!(machine.signal(TERM, now), Some(Act::Forward(TERM)));
    assert_eq!(machine.due(), Some(after(now, 9_500)));
}

#[test]
fn what_the_proxy_has_no_handler_for_is_named_once_and_goes_nowhere() {
    let (mut machine, now) = machine();
    machine.ready();
    for signal in [Signal::SIGUSR1 as i32, Signal::SIGALRM as i32, 40] {
        assert_eq!(machine.signal(signal, now), Some(Act::Unheard(signal)));
        assert_eq!(machine.signal(signal, now), None);
    }
    for silent in SILENT {
        assert_eq!(machine.signal(silent as i32, now), None, "{silent}");
    }
    assert_eq!(machine.due(), None);
}

#[test]
fn hangups_before_ready_become_one_after_it() {
    let (mut machine, now) = machine();
    assert_eq!(machine.signal(HUP, now), None);
    assert_eq!(machine.signal(HUP, now), None);
    assert_eq!(machine.ready(), Some(Act::Forward(HUP)));
    assert_eq!(machine.ready(), None);
    assert_eq!(machine.signal(HUP, now), Some(Act::Forward(HUP)));
    assert_eq!(machine.due(), None);
}

#[test]
fn a_hangup_for_a_child_that_is_gone_is_dropped() {
    let (mut machine, now) = machine();
    machine.signal(HUP, now);
    machine.main_ended(0, now);
    assert_eq!(machine.ready(), None);
}

#[test]
fn a_second_stop_is_forwarded_and_buys_no_time() {
    let (mut machine, now) = machine();
    machine.signal(TERM, now);
    assert_eq!(machine.signal(TERM, after(now, 4_000)), Some(Act::Forward(TERM)));
    assert_eq!(machine.due(), Some(after(now, 9_500)));
}

#[test]
fn kills_a_main_child_that_does_not_stop_in_time() {
    let (mut machine, now) = machine();
    machine.signal(TERM, now);
    assert_eq!(machine.tick(after(now, 9_499)), None);
    assert_eq!(machine.tick(after(now, 9_500)), Some(Act::KillMain));
    assert_eq!(machine.tick(after(now, 9_600)), None);
    machine.main_ended(137, after(now, 9_510));
    assert_eq!(machine.due(), Some(after(now, 9_710)));
}

#[test]
fn stragglers_get_the_rest_of_the_budget() {
    let (mut machine, now) = machine();
    machine.signal(TERM, now);
    machine.main_ended(0, after(now, 1_000));
    assert_eq!(machine.due(), Some(after(now, 9_500)));
    assert_eq!(machine.tick(after(now, 9_500)), Some(Act::KillOthers));
    assert_eq!(machine.tick(after(now, 9_700)), None);
    assert_eq!(machine.over(), Some(0));
}

#[test]
fn a_child_that_owes_its_report_too_long_is_killed() {
    let now = Instant::now();
    let mut machine = Machine::new(now, Duration::from_secs(30));
    assert_eq!(machine.due(), Some(after(now, 10_000)));
    assert_eq!(machine.tick(after(now, 10_000)), Some(Act::KillSilent));
    machine.main_ended(137, after(now, 10_001));
    machine.nobody_left();
    assert_eq!(machine.over(), Some(exit::INTERNAL));
}

#[test]
fn a_refusal_replaces_the_code_of_the_killed_child() {
    let (mut machine, now) = machine();
    machine.refuse(exit::REFUSED);
    assert_eq!(machine.signal(TERM, now), None);
    machine.main_ended(137, now);
    machine.nobody_left();
    assert_eq!(machine.over(), Some(exit::REFUSED));
}

#[test]
fn a_stop_during_the_start_is_kept() {
    let now = Instant::now();
    let mut machine = Machine::new(now, Duration::from_secs(10));
    assert_eq!(machine.signal(TERM, now), Some(Act::Forward(TERM)));
    machine.reported();
    assert_eq!(machine.due(), Some(after(now, 9_500)));
}

#[test]
fn the_margin_shrinks_with_a_short_timeout() {
    assert_eq!(stop_budget(Duration::from_secs(30)), Duration::from_millis(29_500));
    assert_eq!(stop_budget(Duration::from_secs(1)), Duration::from_millis(900));
    assert_eq!(stop_budget(Duration::ZERO), Duration::ZERO);
}

#[test]
fn a_child_that_ended_before_our_kill_keeps_its_code() {
    let (mut machine, now) = machine();
    machine.refuse(exit::REFUSED);
    machine.main_ended(143, now);
    machine.nobody_left();
    assert_eq!(machine.over(), Some(143));
}

#[test]
fn only_the_first_report_counts() {
    let (mut machine, now) = machine();
    assert!(!machine.reported());
    machine.main_ended(0, now);
    assert!(!machine.reported());
}
