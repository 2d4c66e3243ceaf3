//! The report's JSON against the schema that readers have.

use std::collections::BTreeSet;

use jsonschema::{Draft, Validator};
use serde_json::Value;

use crate::testing::{STRANGER, Scratch, US, object, our_terms};
use crate::{Code, DeliveryKind, How, Inventory, Item, Pair, Role, Severity, ShownTo};

fn schema() -> Value {
    serde_json::from_str(include_str!("../../../../docs/storage.schema.json")).unwrap()
}

fn words(pointer: &str) -> BTreeSet<String> {
    let schema = schema();
    let words = schema.pointer(pointer).unwrap_or_else(|| panic!("nothing at {pointer}"));
    words.as_array().unwrap().iter().map(|word| word.as_str().unwrap().to_owned()).collect()
}

fn ids<T: Copy>(all: &[T], id: impl Fn(T) -> &'static str) -> BTreeSet<String> {
    all.iter().map(|item| id(*item).to_owned()).collect()
}

#[test]
fn names_every_word_there_is() {
    assert_eq!(words("/$defs/finding/properties/code/enum"), ids(&Code::ALL, Code::id));
    assert_eq!(words("/$defs/object/properties/role/enum"), ids(&Role::ALL, Role::id));
    let severities = [Severity::Warn, Severity::Unknown, Severity::Refuse];
    assert_eq!(words("/$defs/finding/properties/severity/enum"), ids(&severities, Severity::id));
    let kinds = [DeliveryKind::KubernetesVolume, DeliveryKind::RuntimeSecret, DeliveryKind::FsGroupClaim];
    let at = "/$defs/seen/properties/delivery/anyOf/1/properties/kind/enum";
    assert_eq!(words(at), ids(&kinds, DeliveryKind::id));
}

#[test]
fn describes_reports_of_all_kinds() {
    let scratch = Scratch::new();
    let volume = scratch.secret_volume(0o644, 0, &[("tls.crt", b"PEM"), ("tls.key", b"KEY")]);
    scratch.folder("state", US, 0o750);
    scratch.file("open.key", b"KEY", US, 0o644);
    scratch.file("acl.pem", b"PEM", STRANGER, 0o644);
    scratch.setfacl("u:1234:rw", "acl.pem");
    scratch.link("link.pem", "acl.pem");
    let one = |role, name: &str| Item::One(object(role, scratch.path(name)));
    let pair = Pair {
        name: "tls.certificates \"a\"".to_owned(),
        cert: volume.path("tls.crt"),
        key: volume.path("tls.key"),
        hosts: Vec::new(),
        shown_to: ShownTo::Clients,
    };
    let items = vec![
        Item::Pair(pair),
        one(Role::StateFolder, "state"),
        one(Role::EabHmac, "open.key"),
        one(Role::Certificate, "link.pem"),
        one(Role::StaticRoot, "none"),
    ];
    let how = How { repair: true, ..How::FULL };
    let report = crate::check(&Inventory { items, by_name: Vec::new() }, &our_terms(), how);
    let json: Value = serde_json::from_str(&report.to_json()).unwrap();
    let validator = Validator::options().with_draft(Draft::Draft202012).build(&schema()).unwrap();
    if let Err(errors) = validator.validate(&json) {
        let errors: Vec<_> = errors.map(|error| format!("{}: {error}", error.instance_path)).collect();
        panic!("{errors:#?} in {json:#}");
    }
    // That there was something of each kind to describe.
    for present in ["/objects/1/seen/delivery/kind", "/objects/2/repaired/0/was", "/objects/4/seen/acl"] {
        assert!(json.pointer(present).is_some_and(Value::is_string), "no {present} in {json:#}");
    }
    let mut wrong = json;
    wrong["objects"][0]["verdict"] = "fine".into();
    assert!(validator.validate(&wrong).is_err());
}
