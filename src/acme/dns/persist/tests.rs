use serde_json::json;

use super::*;

const ACCOUNT: &str = "https://ca.example/acct/123";
const THUMBPRINT: &str = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs";
const HASHED: &str = "https://ca.example/account-hash/sha-256/5SQm7n6tPh2-PlLbCKGnViTXX5z19SCN4cPGQHSk-kw";
const ANYWHERE: &str = "https://ca.example/account-hash/sha-256/NpDnSwUthQK8zCgFdefYxAdAVPnygMLbs9US6oO-5ug";

fn two() -> Value {
    json!({
        "accountHashPrefix": "https://ca.example/account-hash/",
        "issuerDomainNames": ["authority.example"],
        "caaIdentities": ["authority.example", "ca.example.net"],
    })
}

fn of(meta: &Value, challenge: &Value, host: &str) -> Result<Standing, PersistError> {
    expected(meta, challenge, ACCOUNT, THUMBPRINT, host, host.starts_with("*."))
}

fn judged(standing: &Standing, records: &[&str]) -> Result<Seen, String> {
    let records: Vec<String> = records.iter().map(|text| (*text).to_owned()).collect();
    let now = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    standing.judge(&records, now).map_err(|missing| match missing {
        Missing::Wrong { reason, .. } => reason,
        other => other.to_string(),
    })
}

/// draft-ietf-acme-dns-persist-02, section 10.
#[test]
fn writes_the_records_of_the_draft() {
    let standing = of(&two(), &Value::Null, "Example.COM.").unwrap();
    assert_eq!(standing.name, "_validation-persist.example.com");
    assert_eq!(standing.value, format!("authority.example; accounturi={HASHED}"));
    assert_eq!(
        standing.to_string(),
        format!("_validation-persist.example.com. IN TXT \"authority.example; accounturi={HASHED}\"")
    );
    let wild = of(&two(), &Value::Null, "*.example.com").unwrap();
    assert_eq!(wild.value, format!("authority.example; accounturi={HASHED}; policy=wildcard"));
}

/// draft-ietf-acme-dns-persist-01.
#[test]
fn writes_the_records_of_the_draft_before() {
    let meta = json!({ "caaIdentities": ["ca.example"] });
    let before = of(&meta, &Value::Null, "example.com").unwrap();
    assert_eq!(before.value, format!("ca.example; accounturi={ACCOUNT}"));
    let challenge =
        json!({ "issuer-domain-names": ["authority.example"], "accounturi": "https://ca.example/x" });
    let standing = of(&meta, &challenge, "example.com").unwrap();
    assert_eq!(standing.value, format!("authority.example; accounturi={ACCOUNT}"));
    assert_eq!(judged(&standing, &["authority.example; accounturi=https://ca.example/x"]), Ok(Seen::Good));
    assert_eq!(of(&json!({}), &Value::Null, "a.test"), Err(PersistError::NoIssuer));
}

#[test]
fn holds_the_ca_to_the_draft() {
    let with =
        |list: Value| of(&two(), &json!({ "issuerDomainNames": list }), "a.test").map(|one| one.issuers);
    let both = Ok(vec!["authority.example".to_owned(), "ca.example.net".to_owned()]);
    assert_eq!(with(json!(["ca.example.net", "authority.example"])), both);
    assert_eq!(with(json!(["ca.example.net"])), Err(PersistError::Broken("authority.example".into())));
    let undisclosed = Err(PersistError::Undisclosed("else.example".into()));
    assert_eq!(with(json!(["authority.example", "else.example"])), undisclosed);
    let eleven: Vec<String> = (0..11).map(|number| format!("a{number}.example")).collect();
    for bad in [
        json!([]),
        json!("a.example"),
        json!(["A.example"]),
        json!(["a.example."]),
        json!([1]),
        json!(eleven),
    ] {
        assert_eq!(with(bad.clone()), Err(PersistError::Issuers("issuerDomainNames")), "{bad}");
    }
    let long = format!("{}.test", ["a".repeat(60).as_str(); 4].join("."));
    assert_eq!(of(&two(), &Value::Null, &long), Err(PersistError::Name(long)));
}

#[test]
fn judges_records_as_the_ca_does() {
    let standing = of(&two(), &Value::Null, "example.com").unwrap();
    let plain = format!("authority.example; accounturi={HASHED}");
    let good = Ok(Seen::Good);
    assert_eq!(judged(&standing, &["v=spf1", "other.example; accounturi=x", &plain]), good);
    assert_eq!(judged(&standing, &[&format!("Authority.Example.;accounturi={ANYWHERE};new=1")]), good);
    assert_eq!(judged(&standing, &[&format!("{plain}; persistUntil=1800000001")]), good);
    let bad = |record: &str| judged(&standing, &[record]).unwrap_err();
    assert_eq!(bad(&format!("{plain}; persistUntil=1800000000")), "persistUntil is over");
    assert_eq!(bad(&format!("{plain}; persistUntil=soon")), "persistUntil is no number of seconds");
    assert_eq!(bad(&format!("{plain}; AccountURI={HASHED}")), "it has AccountURI twice");
    assert_eq!(bad("authority.example"), "it has no accounturi");
    assert_eq!(bad(&format!("{plain}; policy")), "\"policy\" has no =");
    assert_eq!(
        bad(&format!("authority.example; accounturi={ACCOUNT}")),
        format!("its accounturi {ACCOUNT:?} is not this account's")
    );
    assert_eq!(
        judged(&standing, &["other.example; accounturi=x"]).unwrap_err(),
        format!("there is no TXT record _validation-persist.example.com for this CA; set: {standing}")
    );
    // A bad one beside a good one does no harm.
    assert_eq!(judged(&standing, &["authority.example", &plain, "authority.example; x"]), good);
}

#[test]
fn an_older_key_may_still_do() {
    let standing = of(&two(), &Value::Null, "example.com").unwrap();
    let other = "authority.example; accounturi=https://ca.example/account-hash/sha-256/AAAA";
    assert_eq!(judged(&standing, &[other, "authority.example"]), Ok(Seen::PerhapsOlder));
    assert_eq!(judged(&standing, &["authority.example", other]), Ok(Seen::PerhapsOlder));
}

#[test]
fn wildcards_want_their_policy() {
    let standing = of(&two(), &Value::Null, "*.example.com").unwrap();
    let plain = format!("authority.example; accounturi={HASHED}");
    let error = judged(&standing, &[&plain]).unwrap_err();
    assert_eq!(error, "it has no policy=wildcard, and a wildcard is wanted");
    assert_eq!(judged(&standing, &[&format!("{plain}; policy=WILDCARD")]), Ok(Seen::Good));
}

#[test]
fn long_values_are_several_strings() {
    let account = format!("https://ca.example/{}", "a".repeat(300));
    let meta = json!({ "caaIdentities": ["ca.example"] });
    let standing = expected(&meta, &Value::Null, &account, THUMBPRINT, "a.test", false).unwrap();
    let line = standing.to_string();
    let strings: Vec<&str> = line.split('"').skip(1).step_by(2).collect();
    assert_eq!(strings.concat(), standing.value);
    assert_eq!(strings.first().map(|string| string.len()), Some(255));
}

#[test]
fn what_a_ca_says_stays_within_its_string() {
    for bad in
        ["https://ca.example/\" \"x", "https://ca.example/;policy=wildcard", "a\\b", "a\nb", "a b", "ü"]
    {
        let meta = json!({ "accountHashPrefix": bad, "issuerDomainNames": ["ca.example"] });
        let told = of(&meta, &Value::Null, "a.test");
        assert!(matches!(told, Err(PersistError::Uri { member: "accountHashPrefix", .. })), "{bad:?}");
        let one = json!({ "caaIdentities": ["ca.example"] });
        let challenge = json!({ "issuer-domain-names": ["ca.example"], "accounturi": bad });
        assert!(matches!(of(&one, &challenge, "a.test"), Err(PersistError::Uri { .. })), "{bad:?}");
        let account = expected(&one, &Value::Null, bad, THUMBPRINT, "a.test", false);
        assert!(matches!(account, Err(PersistError::Uri { member: "account", .. })), "{bad:?}");
    }
}
