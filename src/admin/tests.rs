//! docs/admin-api.md beside the program: every path, every field of every answer, every body.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::seen::*;
use super::{Done, ENDPOINTS, Reason};

const PAGE: &str = include_str!("../../docs/admin-api.md");

#[test]
fn the_documentation_has_every_operation_and_no_other() {
    let documented: Vec<_> =
        PAGE.lines().filter_map(|line| line.strip_prefix("## `")?.strip_suffix('`')).collect();
    let known: Vec<_> =
        ENDPOINTS.iter().map(|endpoint| format!("{} {}", endpoint.method, endpoint.path)).collect();
    assert_eq!(documented, known, "docs/admin-api.md");
    for endpoint in ENDPOINTS {
        let section = section(&format!("{} {}", endpoint.method, endpoint.path));
        let named = format!("Operation `{}`", endpoint.name);
        assert!(section.contains(&named), "{named} in {}", endpoint.path);
    }
}

#[test]
fn the_documentation_has_every_field_of_every_answer_with_its_type() {
    for (endpoint, answer) in answers() {
        let mut fields = BTreeMap::new();
        flatten("", &answer, &mut fields);
        assert_eq!(documented(section(endpoint)), fields, "docs/admin-api.md, {endpoint}");
    }
}

fn section(title: &str) -> &'static str {
    let start = format!("\n## `{title}`\n");
    let rest = PAGE.split_once(&start).unwrap_or_else(|| panic!("no section {title:?}")).1;
    rest.split("\n## ").next().unwrap()
}

/// Rows of the table of the answer: field and type.
fn documented(section: &str) -> BTreeMap<String, String> {
    let table = section.split_once("| field | type | meaning |").expect("a table of fields").1;
    let rows = table.lines().skip(2).map_while(|line| line.strip_prefix("| `"));
    rows.map(|row| {
        let (field, rest) = row.split_once("` | ").unwrap();
        (field.to_owned(), rest.split(" |").next().unwrap().to_owned())
    })
    .collect()
}

/// `a.b[].c`, each with its type; what may be missing is there in the samples.
fn flatten(prefix: &str, value: &Value, fields: &mut BTreeMap<String, String>) {
    let Value::Object(object) = value else { panic!("{prefix}: {value}") };
    for (key, value) in object {
        let name = format!("{prefix}{key}");
        let kind = match value {
            Value::Object(_) if key == "proxy" => "object",
            Value::Object(_) => {
                flatten(&format!("{name}."), value, fields);
                continue;
            }
            Value::Array(items) => match items.first().unwrap_or_else(|| panic!("{name} is empty")) {
                Value::String(_) => "list of strings",
                item => {
                    flatten(&format!("{name}[]."), item, fields);
                    continue;
                }
            },
            Value::String(_) => "string",
            Value::Number(_) => "number",
            Value::Bool(_) => "boolean",
            Value::Null => panic!("{name} is null in the sample"),
        };
        fields.insert(name, kind.to_owned());
    }
}

/// What each operation answers, nothing left out.
fn answers() -> Vec<(&'static str, Value)> {
    let text = || "x".to_owned();
    let upstream = Upstream {
        name: text(),
        waiting: 0,
        servers: vec![Server {
            server: text(),
            state: ServerState::Ready,
            set_by: SetBy::Config,
            addresses: vec![Address { address: text(), health: Health::Up, in_flight: 0 }],
        }],
    };
    let status = Status {
        version: text(),
        commit: text(),
        build: text(),
        pid: 1,
        started: 1,
        uptime: 1,
        ready: true,
        draining: false,
        connections: 0,
        in_flight: 0,
        config: Running { path: text(), sha256: text(), since: 1 },
        last_reload: Some(Attempt { at: 1, taken: false, mistakes: vec![text()] }),
        listeners: vec![Listener { address: text(), kind: text() }],
        upstreams: vec![upstream.clone()],
    };
    let posture = Posture {
        verified: true,
        secrets_off_swap: Some(text()),
        controls: vec![Control { control: text(), level: text(), result: text() }],
        proxy: serde_json::json!({}),
    };
    let certificate = Certificate {
        name: text(),
        source: text(),
        names: vec![text()],
        not_before: 1,
        not_after: 1,
        issuer: text(),
        state: CertificateState::Failing,
        detail: Some(text()),
    };
    let reloaded = Reloaded { sha256: text(), changed: true, until_restart: vec![text()] };
    let draining = Draining { connections: 0, in_flight: 0, drain_delay: 0.5, drain_timeout: 0.5 };
    let done = json(&Done { detail: text() });
    vec![
        ("GET /v1/status", json(&status)),
        ("POST /v1/reload", json(&reloaded)),
        ("POST /v1/drain", json(&draining)),
        ("GET /v1/posture", json(&posture)),
        ("GET /v1/upstreams", json(&Upstreams { upstreams: vec![upstream.clone()] })),
        ("POST /v1/upstreams/{upstream}/servers/{server}", json(&upstream)),
        ("GET /v1/certs", json(&Certificates { certificates: vec![certificate] })),
        ("POST /v1/certs/{name}/renew", done.clone()),
        ("POST /v1/certs/{name}/revoke", done.clone()),
        ("POST /v1/acme/rollover", done.clone()),
        ("POST /v1/acme/deactivate", done),
    ]
}

fn json(value: &impl Serialize) -> Value {
    serde_json::to_value(value).unwrap()
}

#[test]
fn the_documentation_has_every_state_health_and_reason() {
    let words = [
        json(&[ServerState::Ready, ServerState::Drain]),
        json(&[SetBy::Config, SetBy::Admin]),
        json(&[Health::Up, Health::Unhealthy, Health::Ejected]),
        json(&[
            Reason::Unspecified,
            Reason::KeyCompromise,
            Reason::AffiliationChanged,
            Reason::Superseded,
            Reason::CessationOfOperation,
        ]),
    ];
    for word in words.iter().flat_map(|words| words.as_array().unwrap()) {
        let word = format!("`{word}`");
        assert!(PAGE.contains(&word), "{word} in docs/admin-api.md");
    }
}
