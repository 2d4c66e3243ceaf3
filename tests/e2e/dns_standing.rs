//! Standing records of DNS-PERSIST-01 at a real name server, Knot: said, set as they were said, and seen; and
//! believed by a CA.

use fluxheim::acme::dns::persist::{Missing, Seen, Standing, expected};
use serde_json::{Value, json};

use crate::support::Knot;

fn standing(host: &str) -> Standing {
    let meta = json!({
        "accountHashPrefix": "https://ca.test/account-hash/",
        "issuerDomainNames": ["ca.test"],
    });
    let thumbprint = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs";
    expected(&meta, &Value::Null, "https://ca.test/account/1", thumbprint, host, host.starts_with("*."))
        .unwrap()
}

fn look(standing: &Standing, knot: &Knot) -> Result<Seen, Missing> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(standing.look(&knot.resolver()))
}

#[test]
fn is_missing_until_it_is_set_as_it_was_said() {
    let knot = Knot::serving(&[("a.test.", "_validation-persist TXT \"of somebody else\"")]);
    let plain = standing("a.test");
    let Err(Missing::Nothing { record, .. }) = look(&plain, &knot) else { panic!("it is not there yet") };
    assert_eq!(record, plain.to_string());
    knot.update(&format!("zone a.test.\nadd {}", record.replace(". IN ", ". 60 IN ")));
    assert_eq!(look(&plain, &knot), Ok(Seen::Good));
    let wild = standing("*.a.test");
    let Err(Missing::Wrong { reason, record, .. }) = look(&wild, &knot) else {
        panic!("it is no wildcard's")
    };
    assert!(reason.contains("policy=wildcard"), "{reason}");
    knot.update(&format!("zone a.test.\nadd {}", record.replace(". IN ", ". 60 IN ")));
    assert_eq!((look(&wild, &knot), look(&plain, &knot)), (Ok(Seen::Good), Ok(Seen::Good)));
}

#[test]
fn names_that_are_not_there_are_missing_and_servers_that_are_not_are_told() {
    let knot = Knot::serving(&[("a.test.", "")]);
    assert!(matches!(look(&standing("b.a.test"), &knot), Err(Missing::Nothing { .. })));
    let elsewhere = look(&standing("b.test"), &knot);
    assert!(matches!(elsewhere, Err(Missing::Lookup { .. })), "{elsewhere:?}");
}
