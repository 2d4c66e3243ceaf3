//! Which requests share what, before and after a reload.

use fluxheim_config::{Source, parse};

use super::*;

const RULES: &str = "rate_limit = { requests = 2, per = \"1h\" }\n";

fn limiters(text: &str) -> Limiters {
    let text = format!("[server]\nhttp = [\"0.0.0.0:80\"]\n{text}");
    let config = parse(&[Source { path: "f".into(), text }]).unwrap();
    let names: Vec<_> = (0..config.vhosts.len()).map(|number| format!("vhost {number}")).collect();
    Limiters::new(&config, &names)
}

fn passes(limiters: &Limiters, (vhost, route): (usize, usize), client: u8, field: Option<&str>) -> bool {
    let mut headers = HeaderMap::new();
    field.map(|value| headers.insert("x-key", value.parse().unwrap()));
    let client = Client::of([192, 0, 2, client].into(), 64);
    let request = Counted { client, path: "/", headers: &headers };
    limiters.ask(limiters.of(Some(vhost), Some(route)), request).denied.is_none()
}

const TWO: &str = "routes = [{ path = \"/\", static = \"s\" }, { path = \"/a\", static = \"s\" }]\n";

#[test]
fn routes_share_what_they_leave_to_their_vhost_and_vhosts_share_nothing() {
    let limiters = limiters(&format!(
        "[defaults]\n{RULES}[[vhosts]]\nhosts = [\"a\"]\n{TWO}[[vhosts]]\nhosts = [\"b\"]\n{TWO}"
    ));
    assert!(passes(&limiters, (0, 0), 1, None) && passes(&limiters, (0, 1), 1, None));
    assert!(!passes(&limiters, (0, 0), 1, None) && !passes(&limiters, (0, 1), 1, None));
    assert!(passes(&limiters, (0, 0), 2, None) && passes(&limiters, (1, 0), 1, None));
}

#[test]
fn a_route_that_limits_concurrency_still_shares_the_rate_of_its_vhost() {
    let limiters = limiters(&format!(
        "[[vhosts]]\nhosts = [\"a\"]\n{RULES}limits = {{ max_concurrent = 5 }}\nroutes = [{{ path = \"/\", static = \"s\" }}, \
         {{ path = \"/a\", static = \"s\", limits = {{ max_concurrent = 1 }} }}, \
         {{ path = \"/b\", static = \"s\", rate_limit = {{ requests = 9, per = \"1s\" }} }}]\n"
    ));
    assert!(passes(&limiters, (0, 0), 1, None) && passes(&limiters, (0, 1), 1, None));
    assert!(!passes(&limiters, (0, 0), 1, None) && !passes(&limiters, (0, 1), 1, None));
    assert!(passes(&limiters, (0, 2), 1, None));
    let concurrency = |route| limiters.of(Some(0), Some(route)).concurrency.as_ref().unwrap();
    assert!(!Arc::ptr_eq(concurrency(0), concurrency(1)) && Arc::ptr_eq(concurrency(0), concurrency(2)));
}

#[test]
fn counts_by_header_and_those_without_it_together() {
    let limiters = limiters(&format!(
        "[[vhosts]]\nhosts = [\"a\"]\nrate_limit = {{ requests = 1, per = \"1h\", by = \"header:X-Key\" }}\n{TWO}"
    ));
    assert!(passes(&limiters, (0, 0), 1, Some("a")) && passes(&limiters, (0, 0), 1, Some("b")));
    assert!(!passes(&limiters, (0, 0), 2, Some("a")));
    assert!(passes(&limiters, (0, 0), 1, None) && !passes(&limiters, (0, 0), 2, None));
}

#[test]
fn a_rule_that_denies_leaves_the_others_as_they_were_and_observers_deny_nothing() {
    let limiters = limiters(&format!(
        "[[vhosts]]\nhosts = [\"a\"]\nrate_limit = [{{ requests = 3, per = \"1h\", by = \"vhost\" }}, \
         {{ requests = 1, per = \"1h\" }}, {{ name = \"watch\", requests = 1, per = \"1h\", by = \"vhost\", mode = \"observe\" }}]\n{TWO}"
    ));
    assert!(passes(&limiters, (0, 0), 1, None));
    (0..9).for_each(|_| assert!(!passes(&limiters, (0, 0), 1, None)));
    let request =
        Counted { client: Client::of([192, 0, 2, 2].into(), 64), path: "/", headers: &HeaderMap::new() };
    let limiter = limiters.of(Some(0), Some(0));
    let said = limiters.ask(limiter, request);
    assert!(said.denied.is_none());
    assert_eq!(said.observed.iter().map(|rule| rule.name.as_str()).collect::<Vec<_>>(), ["watch"]);
    let field = said.field.as_ref().unwrap().to_str().unwrap();
    assert!(field.starts_with("\"vhost\";r=1;t=2") && field.contains(", \"client_ip\";r=0;t=3"), "{field}");
    assert_eq!(limiter.policy.as_ref().unwrap(), "\"vhost\";q=3;w=3600, \"client_ip\";q=1;w=3600");
}

#[test]
fn a_reload_keeps_what_was_counted_under_the_same_rules() {
    let text = |requests: u32| {
        format!(
            "[[vhosts]]\nhosts = [\"a\"]\nlimits = {{ max_concurrent = 5 }}\n{TWO}[[vhosts]]\nhosts = [\"b\"]\n\
             rate_limit = {{ requests = {requests}, per = \"1h\" }}\n{TWO}"
        )
    };
    let old = limiters(&text(1));
    assert!(passes(&old, (1, 0), 1, None));
    let (mut same, mut other) = (limiters(&text(1)), limiters(&text(2)));
    same.inherit(&old);
    other.inherit(&old);
    assert!(!passes(&same, (1, 0), 1, None));
    assert!(passes(&other, (1, 0), 1, None));
    let concurrency =
        |limiters: &Limiters| Arc::clone(limiters.of(Some(0), Some(0)).concurrency.as_ref().unwrap());
    assert!(Arc::ptr_eq(&concurrency(&old), &concurrency(&same)));
}
