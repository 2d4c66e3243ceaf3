use super::*;

mod schema;
mod text;

fn control(level: Level, result: Outcome) -> ControlReport {
    ControlReport::new(Control::Umask, level, result, "Umask 0077 in /proc/7/status")
}

/// A report whose JSON is as the schema says, as every one must be.
fn report(controls: Vec<ControlReport>, swap: SwapOutcome) -> Report {
    let identity = Some(Identity { uid: 65532, gid: 65532, groups: vec![] });
    let kernel = Some("6.1.0".to_owned());
    let report = Report { profile: Profile::Container, controls, secrets_off_swap: swap, identity, kernel };
    schema::accepts(&report);
    report
}

fn no_secrets() -> SwapOutcome {
    SwapOutcome::new(false, Outcome::NotApplicable, "no secrets configured")
}

#[test]
fn a_required_control_passes_only_on_enforced_or_inherited() {
    for result in Outcome::ALL {
        let report = report(vec![control(Level::Required, result)], no_secrets());
        assert_eq!(report.is_ok(), matches!(result, Outcome::Enforced | Outcome::Inherited), "{result:?}");
    }
}

#[test]
fn no_other_level_refuses() {
    for level in [Level::Off, Level::Observe, Level::BestEffort] {
        for result in Outcome::ALL {
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
fn the_json_form_is_schema_2() {
    let json = report(vec![control(Level::Required, Outcome::NotPermitted)], no_secrets()).to_json();
    assert_eq!(json["schema"], 2);
    assert_eq!(json["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(json["kernel"], "6.1.0");
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
fn the_summary_counts_every_result() {
    let all = Outcome::ALL.map(|result| control(Level::Observe, result));
    let json = report([all.clone(), all].concat(), no_secrets()).to_json();
    for result in Outcome::ALL {
        assert_eq!(json["summary"][result.name()], 2, "{json}");
    }
    assert_eq!(report(vec![], no_secrets()).to_json()["summary"]["enforced"], 0);
}
