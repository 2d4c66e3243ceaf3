use super::*;

/// One control of each kind of line.
fn sample() -> Report {
    let of = ControlReport::new;
    let lock = of(
        Control::MemoryLock,
        Level::BestEffort,
        Outcome::NotPermitted,
        "not locked, it would not last: RLIMIT_MEMLOCK is finite",
    );
    let swap = of(Control::NoSwap, Level::Required, Outcome::Inherited, "/proc/swaps lists no device");
    let privileges =
        of(Control::NoNewPrivs, Level::Required, Outcome::Enforced, "NoNewPrivs 1 in /proc/7/status");
    let umask = of(Control::Umask, Level::Off, Outcome::NotApplicable, "off in the configuration");
    let fds = of(Control::Fds, Level::Required, Outcome::Violated, "also held 7");
    let off_swap = SwapOutcome::new(true, Outcome::Inherited, "by no_swap");
    report(vec![swap, lock, privileges, fds, umask], off_swap)
}

#[test]
fn is_an_aligned_table_with_the_mending_below_what_does_not_hold() {
    let expected = format!(
        "\
posture: profile container, fluxheim {}, kernel 6.1.0
      control       level        result          evidence
ok    no_swap       required     inherited       /proc/swaps lists no device
-     memory_lock   best_effort  not_permitted   not locked, it would not last: RLIMIT_MEMLOCK is finite
ok    no_new_privs  required     enforced        NoNewPrivs 1 in /proc/7/status
FAIL  fds           required     violated        also held 7
      mend under Docker: no --preserve-fds or socket passing from the engine's own unit
      mend under Podman: no --preserve-fds
      mend under Kubernetes: no hook or runtime wrapper that leaves descriptors open
-     umask         off          not_applicable  off in the configuration
ok    off swap      required     inherited       by no_swap
identity: uid 65532, gid 65532, groups none
summary: 1 enforced, 1 inherited, 1 required missing (fds), 1 not needed (memory_lock), 1 off
verdict: refused: fds",
        env!("CARGO_PKG_VERSION")
    );
    assert_eq!(sample().to_string(), expected);
    let handbook = include_str!("../../../../../docs/hardening.md");
    for line in expected.lines().skip(1) {
        assert!(handbook.contains(&format!("    {line}\n")), "docs/hardening.md lacks: {line}");
    }
}

#[test]
fn columns_are_as_wide_as_the_longest_name_there_is() {
    let all =
        Control::ALL.map(|control| ControlReport::new(control, Level::Off, Outcome::NotApplicable, "@"));
    let text = report(all.to_vec(), no_secrets()).to_string();
    let places: Vec<_> = text.lines().filter_map(|line| line.find('@')).collect();
    assert_eq!(places.len(), Control::ALL.len(), "{text}");
    assert!(places.iter().all(|place| *place == places[0]), "{text}");
}

#[test]
fn colour_is_on_marks_and_results_and_moves_no_column() {
    let (plain, coloured) = (sample().to_text(Colour::Off), sample().to_text(Colour::On));
    assert!(!plain.contains('\x1b'));
    for piece in [
        "\x1b[32mok\x1b[0m    no_swap       required     \x1b[32minherited\x1b[0m       /proc/swaps",
        "\x1b[31mFAIL\x1b[0m  fds           required     \x1b[31mviolated\x1b[0m        also held 7",
        "\n-     memory_lock   best_effort  not_permitted   not locked",
    ] {
        assert!(coloured.contains(piece), "{piece:?} not in {coloured:?}");
    }
    let stripped = ["\x1b[31m", "\x1b[32m", "\x1b[33m", "\x1b[0m"];
    assert_eq!(stripped.iter().fold(coloured, |text, code| text.replace(code, "")), plain);
}

#[test]
fn a_warning_is_yellow() {
    let text = report(vec![control(Level::Observe, Outcome::Violated)], no_secrets()).to_text(Colour::On);
    assert!(text.contains("\x1b[33mwarn\x1b[0m  umask"), "{text:?}");
    assert!(text.contains("\x1b[33mviolated\x1b[0m"), "{text:?}");
}

#[test]
fn evidence_can_not_add_a_line_or_reach_the_terminal() {
    let evidence = "pattern |/x\nverdict: ok\x1b[2J\u{9b}1m";
    let mut seen = ControlReport::new(Control::CoreDumps, Level::Required, Outcome::Partial, evidence);
    seen.errno = Some(Errno { number: 1, text: "no\r".into() });
    let swap = SwapOutcome::new(true, Outcome::Unknown, "a\nb");
    let text = report(vec![seen], swap).to_text(Colour::Off);
    assert!(text.chars().all(|character| character == '\n' || !character.is_control()), "{text:?}");
    assert!(text.contains(r"|/x\nverdict: ok\u{1b}[2J\u{9b}1m (no\r)"), "{text}");
    assert!(text.ends_with("\nverdict: refused: core_dumps, secrets_off_swap"), "{text}");
}

#[test]
fn says_nothing_of_mending_where_all_holds() {
    let good = report(vec![control(Level::Required, Outcome::Enforced)], no_secrets()).to_string();
    assert!(!good.contains("mend under"), "{good}");
    let bad = report(vec![control(Level::BestEffort, Outcome::Violated)], no_secrets()).to_string();
    assert!(bad.contains("warn  umask") && bad.matches("mend under").count() == 3, "{bad}");
    assert!(bad.ends_with("verdict: ok"));
}

#[test]
fn the_summary_names_what_is_missing_at_each_level() {
    let of = |control, level, result| ControlReport::new(control, level, result, "x");
    let controls = vec![
        of(Control::Umask, Level::Required, Outcome::Enforced),
        of(Control::Fds, Level::BestEffort, Outcome::Partial),
        of(Control::Dumpable, Level::Observe, Outcome::Unknown),
        of(Control::NoSwap, Level::BestEffort, Outcome::Unavailable),
        of(Control::Storage, Level::Observe, Outcome::NotApplicable),
        of(Control::CoreDumps, Level::Off, Outcome::NotApplicable),
    ];
    let text = report(controls, no_secrets()).to_string();
    let summary = text.lines().rev().nth(1).unwrap();
    let missing = "2 best effort missing (fds, no_swap), 1 observed missing (dumpable)";
    assert_eq!(summary, format!("summary: 1 enforced, {missing}, 1 off, 1 not applicable"));
    let none = report(vec![], no_secrets()).to_string();
    assert_eq!(none.lines().rev().nth(1), Some("summary: no controls"));
}

#[test]
fn running_as_root_is_warned_of() {
    let mut report = report(vec![], no_secrets());
    report.identity = Some(Identity { uid: 0, gid: 0, groups: vec![] });
    assert!(report.to_string().contains("warn  the proxy runs as uid 0"));
    assert!(report.to_text(Colour::On).contains("\x1b[33mwarn\x1b[0m  the proxy runs as uid 0"));
}

#[test]
fn what_can_not_be_read_is_said_to_be_unknown() {
    let report = Report { identity: None, kernel: None, ..report(vec![], no_secrets()) };
    let text = report.to_string();
    assert!(text.contains("kernel unknown\n") && text.contains("\nidentity: unknown\n"), "{text}");
}

#[test]
fn a_lock_that_is_not_needed_is_not_warned_of() {
    let of = |control, result| ControlReport::new(control, Level::BestEffort, result, "x");
    let lock = of(Control::MemoryLock, Outcome::NotPermitted);
    let calm = report(vec![of(Control::NoSwap, Outcome::Inherited), lock.clone()], no_secrets()).to_string();
    assert!(!calm.contains("warn") && !calm.contains("mend under"), "{calm}");
    let alone = report(vec![of(Control::NoSwap, Outcome::Violated), lock], no_secrets()).to_string();
    assert_eq!(alone.matches("warn").count(), 2, "{alone}");
}
