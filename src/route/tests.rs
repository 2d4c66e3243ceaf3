use std::path::PathBuf;

use fluxheim_config::{Route, StaticFiles};

use super::*;

fn vhost(hosts: &[HostPattern], paths: &[PathMatch]) -> Vhost {
    let files = || Action::Static(StaticFiles::at(PathBuf::from("/srv")));
    let route = |path: &PathMatch| Route::new(path.clone(), files());
    Vhost::new(hosts.to_vec(), paths.iter().map(route).collect())
}

fn prefix(path: &str) -> PathMatch {
    PathMatch::Prefix(path.to_owned())
}

fn find(routes: &Routes, host: &str, path: &str) -> Result<(usize, usize), NoRoute> {
    routes.find(&Host::parse(host).unwrap(), path).map(|routed| (routed.vhost(), routed.route()))
}

#[test]
fn exact_host_beats_wildcard_beats_any() {
    let routes = Routes::new(&[
        vhost(&[HostPattern::Any], &[prefix("/")]),
        vhost(&[HostPattern::Wildcard("example.com".into())], &[prefix("/")]),
        vhost(&[HostPattern::Exact("www.example.com".into())], &[prefix("/")]),
        vhost(&[HostPattern::Wildcard("b.example.com".into())], &[prefix("/")]),
    ]);
    assert_eq!(find(&routes, "www.example.com", "/"), Ok((2, 0)));
    assert_eq!(find(&routes, "a.example.com", "/"), Ok((1, 0)));
    assert_eq!(find(&routes, "a.b.example.com", "/"), Ok((3, 0)));
    assert_eq!(find(&routes, "b.example.com", "/"), Ok((1, 0)));
    assert_eq!(find(&routes, "example.com", "/"), Ok((0, 0)));
    assert_eq!(find(&routes, "127.0.0.1", "/"), Ok((0, 0)));
}

#[test]
fn unknown_host_and_unknown_path_are_told_apart() {
    let routes = Routes::new(&[vhost(&[HostPattern::Exact("a.test".into())], &[prefix("/api")])]);
    assert_eq!(find(&routes, "b.test", "/api"), Err(NoRoute::UnknownHost));
    assert_eq!(find(&routes, "a.test", "/"), Err(NoRoute::UnknownPath { vhost: 0 }));
}

#[test]
fn exact_path_beats_the_longest_prefix() {
    let paths = [prefix("/"), prefix("/api"), prefix("/api/v2/"), PathMatch::Exact("/api/v2/x".into())];
    let routes = Routes::new(&[vhost(&[HostPattern::Any], &paths)]);
    let route = |path: &str| find(&routes, "a.test", path).map(|(_, route)| route);
    assert_eq!(route("/api/v2/x"), Ok(3));
    assert_eq!(route("/api/v2/x/"), Ok(2));
    assert_eq!(route("/api/v2/"), Ok(2));
    assert_eq!(route("/api/v2"), Ok(1));
    assert_eq!(route("/api"), Ok(1));
    assert_eq!(route("/api/"), Ok(1));
    assert_eq!(route("/apis"), Ok(0));
    assert_eq!(route("/"), Ok(0));
}

#[test]
fn prefixes_are_listed_longest_first_and_once() {
    assert_eq!(prefixes("/a/b").collect::<Vec<_>>(), ["/a/b", "/a/", "/a", "/"]);
    assert_eq!(prefixes("/a/b/").collect::<Vec<_>>(), ["/a/b/", "/a/b", "/a/", "/a", "/"]);
    assert_eq!(prefixes("/").collect::<Vec<_>>(), ["/"]);
}
