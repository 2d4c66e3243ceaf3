use super::*;

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
    assert_eq!(machine.due(), Some(after(now, 9_750)));
}

#[test]
fn what_the_proxy_has_no_handler_for_is_named_once_and_goes_nowhere() {
    let (mut machine, now) = machine();
    machine.ready();
    for signal in [Signal::SIGUSR2 as i32, Signal::SIGALRM as i32, 40] {
        assert_eq!(machine.signal(signal, now), Some(Act::Unheard(signal)));
        assert_eq!(machine.signal(signal, now), None);
    }
    for silent in [Signal::SIGWINCH, Signal::SIGCONT, Signal::SIGPIPE, Signal::SIGCHLD] {
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
    assert_eq!(machine.due(), Some(after(now, 9_750)));
}

#[test]
fn kills_a_main_child_that_does_not_stop_in_time() {
    let (mut machine, now) = machine();
    machine.signal(TERM, now);
    assert_eq!(machine.tick(after(now, 9_749)), None);
    assert_eq!(machine.tick(after(now, 9_750)), Some(Act::KillMain));
    assert_eq!(machine.tick(after(now, 9_800)), None);
    machine.main_ended(137, after(now, 9_760));
    assert_eq!(machine.due(), Some(after(now, 9_860)));
}

#[test]
fn stragglers_get_the_rest_of_the_budget() {
    let (mut machine, now) = machine();
    machine.signal(TERM, now);
    machine.main_ended(0, after(now, 1_000));
    assert_eq!(machine.due(), Some(after(now, 9_750)));
    assert_eq!(machine.tick(after(now, 9_750)), Some(Act::KillOthers));
    assert_eq!(machine.tick(after(now, 9_850)), None);
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
    assert_eq!(machine.due(), Some(after(now, 9_750)));
}

#[test]
fn what_asks_an_init_to_halt_is_forwarded_as_term() {
    for halt in [Signal::SIGPWR as i32, 37] {
        let (mut machine, now) = machine();
        assert_eq!(machine.signal(halt, now), Some(Act::Forward(TERM)));
        assert_eq!(machine.due(), Some(after(now, 9_750)));
    }
}

#[test]
fn the_report_is_printed_as_often_as_asked_and_in_every_phase() {
    let usr1 = Signal::SIGUSR1 as i32;
    let now = Instant::now();
    let mut machine = Machine::new(now, Duration::from_secs(10));
    assert_eq!(machine.signal(usr1, now), Some(Act::Report));
    machine.reported();
    assert_eq!(machine.signal(usr1, now), Some(Act::Report));
    machine.main_ended(0, now);
    assert_eq!(machine.signal(usr1, now), Some(Act::Report));
    assert_eq!(machine.signal(TERM, now), None);
}

/// What a proxy of src/app/drain.rs adds to its drain: two pauses of 50 ms, and half a second for
/// handshakes under way.
const AROUND_THE_DRAIN: Duration = Duration::from_millis(600);

#[test]
fn no_valid_configuration_is_killed_before_its_drain_has_ended() {
    let mut valid = 0;
    // Around every edge of the arithmetic, from the least allowed to the most (366 days).
    let some = [0, 1, 249, 250, 251, 999, 1_000, 1_001, 2_500, 10_000, 30_000, 86_400_000, 366 * 86_400_000];
    for (delay, drain, spare) in some.iter().flat_map(|a| {
        some.iter().flat_map(move |b| [-2_i64, -1, 0, 1, 200, 5_000].map(|spare| (*a, *b, spare)))
    }) {
        let stop: i64 = delay + drain + 1_000 + spare;
        let Some(server) = server(delay, drain, stop) else { continue };
        valid += 1;
        let budget = Machine::new(Instant::now(), server.stop_timeout).stop_budget();
        let needed = server.drain_delay + server.drain_timeout + AROUND_THE_DRAIN;
        assert!(budget >= needed, "{delay} + {drain} ms, stop after {stop} ms: killed after {budget:?}");
        // And both last moments are over before the runtime's own KILL.
        assert!(budget + 2 * LAST_MOMENT < server.stop_timeout);
    }
    assert!(valid > 300, "{valid} of them are valid");
}

#[test]
fn what_the_proxy_adds_to_its_drain_is_known_here() {
    let (drain, listen) =
        (include_str!("../../../../src/app/drain.rs"), include_str!("../../../../src/listen/mod.rs"));
    assert!(listen.contains("pub const LAST_OPENINGS: Duration = Duration::from_millis(500);"));
    // Once, beside the delay and the drain itself, which the configuration knows.
    assert_eq!(drain.matches("timeout(LAST_OPENINGS").count(), 1);
    assert_eq!((drain.matches("sleep(").count(), drain.matches("timeout(").count()), (1, 2));
}

#[test]
fn the_default_configuration_is_not_killed_before_its_drain_has_ended() {
    let server = fluxheim_config::parse(&[source("")]).unwrap().server;
    assert!(stop_budget(server.stop_timeout) >= server.drain_delay + server.drain_timeout + AROUND_THE_DRAIN);
}

/// Such a section, if the configuration allows it.
fn server(delay: i64, drain: i64, stop: i64) -> Option<fluxheim_config::Server> {
    let text =
        format!("drain_delay = \"{delay}ms\"\ndrain_timeout = \"{drain}ms\"\nstop_timeout = \"{stop}ms\"\n");
    fluxheim_config::parse(&[source(&text)]).ok().map(|config| config.server)
}

fn source(server: &str) -> fluxheim_config::Source {
    let text = format!("[server]\nhttp = [\"127.0.0.1:8080\"]\n{server}");
    fluxheim_config::Source { path: "f.toml".into(), text }
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
