use super::*;
use crate::value::pattern;

fn to(text: &str) -> Result<Redirect, Flaw> {
    let (_, captures) = pattern::path("^/(.*)$").unwrap();
    redirect_to(text, &captures, 308)
}

#[test]
fn splits_a_redirect_where_no_path_can_reach_the_host() {
    for (text, origin, target) in [
        ("https://example.com{path}{query}", Some("https://example.com"), "{path}{query}"),
        ("{scheme}://www.{host}:8443/x", Some("{scheme}://www.{host}:8443"), "/x"),
        ("https://[::1]:80/$1", Some("https://[::1]:80"), "/$1"),
        ("https://{host}", Some("https://{host}"), ""),
        ("http://a.test?x=$1", Some("http://a.test"), "?x=$1"),
        ("/new/$1{query}#top", None, "/new/$1{query}#top"),
        ("{path}/", None, "{path}/"),
    ] {
        let redirect = to(text).unwrap_or_else(|flaw| panic!("{text}: {flaw:?}"));
        assert_eq!(redirect.origin.as_ref().map(Template::text), origin, "{text}");
        assert_eq!(redirect.target.text(), target, "{text}");
    }
}

#[test]
fn refuses_redirects_whose_host_a_request_could_choose() {
    for text in [
        "https://$1/x",
        "https://example.com$1",
        "https://example.com{1}",
        "https://{1}",
        "https://{path}",
        "https://example.com.{host}evil/",
        "https://user@example.com/",
        "https://example.com:$1/",
        "https://example.com:+80/",
        "https:///x",
        "//example.com/x",
        "$1",
        "javascript:alert(1)",
        "example.com/x",
        "/\\example.com",
        "https://example.com/a b",
        "https://example.com/\r\nX: y",
        "/x?a=b{query}",
        "{query}/x",
        "?x",
    ] {
        assert!(to(text).is_err(), "{text:?}");
    }
}

#[test]
fn strips_only_what_every_path_of_the_route_begins_with() {
    let prefix = |path: &str| PathMatch::Prefix(path.to_owned());
    assert!(check_strip("/api", &prefix("/api/")).is_ok());
    assert!(check_strip("/api/", &prefix("/api")).is_ok());
    assert!(check_strip("/api", &prefix("/api/v1")).is_ok());
    assert!(check_strip("/anything", &PathMatch::Regex("^/x".into())).is_ok());
    for (strip, path) in [("/", "/"), ("/api/v1", "/api"), ("/ap", "/api"), ("/other", "/api")] {
        assert!(check_strip(strip, &prefix(path)).is_err(), "{strip} of {path}");
    }
}

#[test]
fn takes_templates_of_paths_and_nothing_else() {
    let none = Captures::default();
    assert!(rewritten("/{host}{path}", &none).is_ok());
    for text in ["", "x", "/a?b", "/a#b", "/a\\b", "/a b", "/é", "/$1", "/{query}"] {
        assert!(rewritten(text, &none).is_err(), "{text:?}");
    }
}

#[test]
fn takes_media_types() {
    assert!(content_type("text/html; charset=utf-8").is_ok());
    for text in ["", "html", "/", "text/", "text/html\r\nX: y"] {
        assert!(content_type(text).is_err(), "{text:?}");
    }
}
