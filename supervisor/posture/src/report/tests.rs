use super::*;

fn control(level: Level, result: Outcome) -> ControlReport {
    ControlReport::new(Control::Umask, level, result, "Umask 0077 in /proc/7/status")
}

fn report(controls: Vec<ControlReport>, swap: SwapOutcome) -> Report {
    let identity = Some(Identity { uid: 65532, gid: 65532, groups: vec![] });
    Report { profile: Profile::Container, controls, secrets_off_swap: swap, identity }
}

fn no_secrets() -> SwapOutcome {
    SwapOutcome::new(false, Outcome::NotApplicable, "no secrets configured")
}

const EVERY: [Outcome; 8] = [
    Outcome::Enforced,
    Outcome::Inherited,
    Outcome::Partial,
    Outcome::Unavailable,
    Outcome::NotPermitted,
    Outcome::Violated,
    Outcome::NotApplicable,
    Outcome::Unknown,
];

#[test]
fn a_required_control_passes_only_on_enforced_or_inherited() {
    for result in EVERY {
        let report = report(vec![control(Level::Required, result)], no_secrets());
        assert_eq!(report.is_ok(), matches!(result, Outcome::Enforced | Outcome::Inherited), "{result:?}");
    }
}

#[test]
fn no_other_level_refuses() {
    for level in [Level::Off, Level::Observe, Level::BestEffort] {
        for result in EVERY {
            assert!(report(vec![control(level, result)], no_secrets()).is_ok());
        }
    }
}

#[test]
fn a_required_swap_outcome_refuses_and_names_both_ways_out() {
    let swap = SwapOutcome::new(true, Outcome::Violated, "neither holds");
    let report = report(vec![], swap);
    assert_eq!(report.refusals(), ["secrets_off_swap"]);
    let text = report.to_string();
    assert!(text.contains("--memory-swap") && text.contains("memlock=-1:-1"), "{text}");
    assert!(text.ends_with("verdict: refused: secrets_off_swap"), "{text}");
}

#[test]
fn the_text_has_one_line_for_what_holds_and_the_mending_for_what_does_not() {
    let good = report(vec![control(Level::Required, Outcome::Enforced)], no_secrets()).to_string();
    assert!(!good.contains("mend under"), "{good}");
    let bad = report(vec![control(Level::BestEffort, Outcome::Violated)], no_secrets()).to_string();
    assert!(bad.contains("warn  umask") && bad.matches("mend under").count() == 3, "{bad}");
    assert!(bad.ends_with("verdict: ok"));
}

#[test]
fn running_as_root_is_warned_of() {
    let mut report = report(vec![], no_secrets());
    report.identity = Some(Identity { uid: 0, gid: 0, groups: vec![] });
    assert!(report.to_string().contains("runs as uid 0"));
}

#[test]
fn the_json_form_is_schema_1() {
    let json = report(vec![control(Level::Required, Outcome::NotPermitted)], no_secrets()).to_json();
    assert_eq!(json["schema"], 1);
    assert_eq!(json["profile"], "container");
    assert_eq!(json["verdict"], "refused");
    assert_eq!(json["refused"][0], "umask");
    assert_eq!(json["controls"][0]["control"], "umask");
    assert_eq!(json["controls"][0]["level"], "required");
    assert_eq!(json["controls"][0]["result"], "not_permitted");
    assert_eq!(json["controls"][0]["fix"][0]["runtime"], "docker");
    assert_eq!(json["identity"]["uid"], 65532);
    assert_eq!(json["identity"]["groups"], serde_json::json!([]));
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
