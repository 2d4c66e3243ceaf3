use jsonschema::{Draft, Validator};
use serde_json::{Value, json};

use super::*;

fn schema() -> Value {
    serde_json::from_str(include_str!("../../../../../docs/posture.schema.json")).unwrap()
}

fn validator() -> Validator {
    Validator::options().with_draft(Draft::Draft202012).build(&schema()).unwrap()
}

thread_local! {
    static VALIDATOR: Validator = validator();
}

/// What is wrong with `json`, one mistake each.
fn mistakes(json: &Value) -> Vec<String> {
    VALIDATOR.with(|validator| match validator.validate(json) {
        Ok(()) => Vec::new(),
        Err(errors) => errors.map(|error| format!("{}: {error}", error.instance_path)).collect(),
    })
}

/// Fails when the schema doesn't describe this report.
pub(super) fn accepts(report: &Report) {
    let json = report.to_json();
    assert_eq!(mistakes(&json), Vec::<String>::new(), "{json:#}");
}

/// A report with everything that may be absent.
fn full() -> Report {
    let errno = Some(nix::errno::Errno::EPERM.into());
    let seen = control(Level::Required, Outcome::NotPermitted).with_errno(errno);
    let swap = SwapOutcome::new(true, Outcome::Violated, "neither holds");
    let report = report(vec![seen], swap);
    Report { identity: Some(Identity { uid: 0, gid: u32::MAX, groups: vec![7] }), ..report }
}

#[test]
fn describes_every_report_there_can_be() {
    for profile in Profile::ALL {
        for control in Control::ALL {
            for level in Level::ALL {
                for result in Outcome::ALL {
                    let seen = ControlReport::new(control, level, result, "");
                    let with_errno = seen.clone().with_errno(Some(nix::errno::Errno::EACCES.into()));
                    for seen in [seen, with_errno] {
                        let swap = SwapOutcome::new(level == Level::Required, result, "by no_swap");
                        accepts(&Report { profile, ..report(vec![seen], swap) });
                    }
                }
            }
        }
    }
    accepts(&full());
    accepts(&Report { identity: None, kernel: None, ..full() });
}

#[test]
fn describes_what_is_judged() {
    let hardening = fluxheim_config::Hardening { profile: Profile::Strict, overrides: [].into() };
    let storage = crate::judge::StorageSeen::Clean("1 object".into());
    let server = crate::judge::samples::server();
    let asked =
        crate::judge::Asked { hardening: &hardening, has_secrets: true, storage: &storage, server: &server };
    accepts(&crate::judge::judge(&crate::judge::samples::evidence(), asked));
}

#[test]
fn refuses_a_report_that_lacks_a_field() {
    let whole = full().to_json();
    for name in whole.as_object().unwrap().keys() {
        let mut cut = whole.clone();
        cut.as_object_mut().unwrap().remove(name);
        assert!(mistakes(&cut).iter().any(|mistake| mistake.contains(name)), "without {name}");
    }
    for (place, name) in [
        ("/summary", "unknown"),
        ("/controls/0", "evidence"),
        ("/controls/0/errno", "text"),
        ("/controls/0/fix/0", "line"),
        ("/outcomes", "secrets_off_swap"),
        ("/outcomes/secrets_off_swap", "required"),
        ("/identity", "groups"),
    ] {
        let mut cut = whole.clone();
        cut.pointer_mut(place).unwrap().as_object_mut().unwrap().remove(name).unwrap();
        assert!(!mistakes(&cut).is_empty(), "{place} without {name}");
    }
}

#[test]
fn refuses_a_report_with_an_unknown_field_wherever_it_stands() {
    let whole = full().to_json();
    let places = objects(&whole, "");
    assert!(places.len() >= 9, "{places:?}");
    for place in places {
        let mut more = whole.clone();
        more.pointer_mut(&place).unwrap()["score"] = json!(10);
        assert!(!mistakes(&more).is_empty(), "{place} with a field of its own");
    }
}

/// Pointers to every object in `json`.
fn objects(json: &Value, at: &str) -> Vec<String> {
    match json {
        Value::Object(fields) => {
            let below = fields.iter().flat_map(|(name, field)| objects(field, &format!("{at}/{name}")));
            std::iter::once(at.to_owned()).chain(below).collect()
        }
        Value::Array(items) => {
            items.iter().enumerate().flat_map(|(n, item)| objects(item, &format!("{at}/{n}"))).collect()
        }
        _ => Vec::new(),
    }
}

#[test]
fn refuses_values_that_no_report_has() {
    for (place, value) in [
        ("/schema", json!(1)),
        ("/version", json!("newest")),
        ("/kernel", json!("")),
        ("/profile", json!("lenient")),
        ("/verdict", json!("fine")),
        ("/refused/0", json!("levitation")),
        ("/summary/enforced", json!(-1)),
        ("/controls/0/control", json!("levitation")),
        ("/controls/0/level", json!("wished")),
        ("/controls/0/result", json!("splendid")),
        ("/controls/0/fix", json!([])),
        ("/controls/0/fix/0/runtime", json!("jail")),
        ("/outcomes/secrets_off_swap/result", json!("splendid")),
        ("/identity/uid", json!(-1)),
        ("/identity/gid", json!(4_294_967_296_u64)),
    ] {
        let mut wrong = full().to_json();
        *wrong.pointer_mut(place).unwrap() = value;
        assert!(!mistakes(&wrong).is_empty(), "{wrong:#}");
    }
}

#[test]
fn a_verdict_and_its_refusals_belong_together() {
    let mut wrong = full().to_json();
    wrong["verdict"] = json!("ok");
    assert!(!mistakes(&wrong).is_empty());
    let mut wrong = report(vec![], no_secrets()).to_json();
    wrong["verdict"] = json!("refused");
    assert!(!mistakes(&wrong).is_empty());
}

#[test]
fn lists_the_very_names_there_are() {
    let runtime = |runtime| serde_json::to_value(runtime).unwrap();
    for (definition, names) in [
        ("control", json!(Control::ALL.map(Control::name))),
        ("level", json!(Level::ALL.map(Level::name))),
        ("result", json!(Outcome::ALL.map(Outcome::name))),
        ("profile", json!(Profile::ALL.map(Profile::name))),
        ("runtime", json!(Runtime::ALL.map(runtime))),
    ] {
        let listed = &schema()["$defs"][definition]["enum"];
        assert_eq!(listed, &names, "write {names} into $defs/{definition} of docs/posture.schema.json");
    }
    let counted = &schema()["properties"]["summary"]["required"];
    assert_eq!(counted, &json!(Outcome::ALL.map(Outcome::name)));
    assert_eq!(schema()["properties"]["schema"]["const"], SCHEMA);
    assert_eq!(schema()["$id"], format!("urn:fluxheim:posture:{SCHEMA}"));
}

#[test]
fn results_are_called_in_json_what_they_are_called_in_text() {
    for result in Outcome::ALL {
        assert_eq!(json!(result), result.name());
        assert_eq!(serde_json::from_value::<Outcome>(json!(result.name())).unwrap(), result);
    }
}

#[test]
fn the_handbook_s_example_is_one() {
    let handbook = include_str!("../../../../../docs/hardening.md");
    let section = handbook.split("## The report in JSON").nth(1).expect("the section is gone");
    let lines = section.lines().skip_while(|line| !line.starts_with("    {"));
    let example: String = lines.take_while(|line| line.starts_with("    ")).collect();
    let example: Value = serde_json::from_str(&example).unwrap();
    assert_eq!(mistakes(&example), Vec::<String>::new());
}
