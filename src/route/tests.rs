use std::path::PathBuf;

use fluxheim_config::{Action, Conditions, HostPattern, PathMatch, Policy, Route, StaticFiles, ValueMatch};

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
    ask(routes, host, path, "GET", &[])
}

/// The answer to a request for `target`, a path with or without a query.
fn ask(
    routes: &Routes,
    host: &str,
    target: &str,
    method: &str,
    fields: &[(&'static str, &str)],
) -> Result<(usize, usize), NoRoute> {
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(*name, value.parse().unwrap());
    }
    let (host, path) = (Host::parse(host).unwrap(), Path::parse(path).unwrap());
    let method = &method.parse().unwrap();
    let request = Request { host: &host, path: &path, method, headers: &headers, query, client: None };
    routes.find(&request).map(|routed| (routed.vhost(), routed.route()))
}

#[test]
fn exact_host_beats_wildcard_beats_any() {
    let routes = Routes::new(&[
        vhost(&[HostPattern::Any], &[prefix("/")]),
        vhost(&[HostPattern::Wildcard("example.com".into())], &[prefix("/")]),
        vhost(&[HostPattern::Exact("www.example.com".into())], &[prefix("/")]),
        vhost(&[HostPattern::Wildcard("b.example.com".into())], &[prefix("/")]),
    ])
    .unwrap();
    assert_eq!(find(&routes, "www.example.com", "/"), Ok((2, 0)));
    assert_eq!(find(&routes, "a.example.com", "/"), Ok((1, 0)));
    assert_eq!(find(&routes, "a.b.example.com", "/"), Ok((3, 0)));
    assert_eq!(find(&routes, "b.example.com", "/"), Ok((1, 0)));
    assert_eq!(find(&routes, "example.com", "/"), Ok((0, 0)));
    assert_eq!(find(&routes, "127.0.0.1", "/"), Ok((0, 0)));
}

#[test]
fn unknown_host_and_unknown_path_are_told_apart() {
    let routes = Routes::new(&[vhost(&[HostPattern::Exact("a.test".into())], &[prefix("/api")])]).unwrap();
    assert_eq!(find(&routes, "b.test", "/api"), Err(NoRoute::UnknownHost));
    assert_eq!(find(&routes, "a.test", "/"), Err(NoRoute::UnknownPath { vhost: 0 }));
}

#[test]
fn exact_path_beats_the_longest_prefix() {
    let paths = [prefix("/"), prefix("/api"), prefix("/api/v2/"), PathMatch::Exact("/api/v2/x".into())];
    let routes = Routes::new(&[vhost(&[HostPattern::Any], &paths)]).unwrap();
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

fn regex(pattern: &str) -> PathMatch {
    PathMatch::Regex(pattern.to_owned())
}

#[test]
fn patterns_come_after_prefixes_and_before_the_rest() {
    let paths = [
        prefix("/"),
        regex(r"^/u/(\d+)$"),
        regex(r"\.php$"),
        regex("^/u/"),
        prefix("/static"),
        PathMatch::Exact("/u/0".into()),
    ];
    let routes = Routes::new(&[vhost(&[HostPattern::Any], &paths)]).unwrap();
    let route = |path: &str| find(&routes, "a.test", path).map(|(_, route)| route);
    assert_eq!(route("/u/0"), Ok(5));
    assert_eq!(route("/u/12"), Ok(1));
    assert_eq!(route("/u/x.php"), Ok(2));
    assert_eq!(route("/u/x"), Ok(3));
    assert_eq!(route("/static/x.php"), Ok(4));
    assert_eq!(route("/x"), Ok(0));
    let routed = routes.get("a.test", "/u/12").unwrap();
    let captures = routes.captures(routed, &Path::parse("/u/12").unwrap());
    assert_eq!(captures.iter().map(|range| (range.start, range.end)).collect::<Vec<_>>(), [(3, 5)]);
    let routed = routes.get("a.test", "/x").unwrap();
    assert!(routes.captures(routed, &Path::parse("/x").unwrap()).is_empty());
}

/// A vhost for any host whose routes have conditions.
fn conditional(routes: Vec<(PathMatch, Conditions)>) -> Routes {
    let route = |(path, when)| Route { when, ..Route::new(path, Action::Upstream(0)) };
    let vhost = Vhost::new(vec![HostPattern::Any], routes.into_iter().map(route).collect());
    Routes::new(&[vhost]).unwrap()
}

fn methods(methods: &[&str]) -> Conditions {
    Conditions {
        methods: methods.iter().map(|method| (*method).to_owned()).collect(),
        ..Conditions::default()
    }
}

fn header(name: &str, value: ValueMatch) -> Conditions {
    Conditions { headers: [(name.to_owned(), value)].into(), ..Conditions::default() }
}

fn query(name: &str, value: ValueMatch) -> Conditions {
    Conditions { query: [(name.to_owned(), value)].into(), ..Conditions::default() }
}

#[test]
fn the_first_route_of_a_path_whose_conditions_hold_takes_the_request() {
    let any = Conditions::default;
    let routes = conditional(vec![
        (prefix("/"), any()),
        (prefix("/a"), header("x-canary", ValueMatch::Is("1".into()))),
        (prefix("/a"), query("v é", ValueMatch::Is("2 3".into()))),
        (prefix("/a"), header("x-any", ValueMatch::Any)),
        (prefix("/a"), header("x-re", ValueMatch::Regex("^v[0-9]+$".into()))),
        (prefix("/a/b"), query("q", ValueMatch::Any)),
        (regex("^/a"), any()),
    ]);
    let route = |target: &str, fields: &[(&'static str, &str)]| {
        ask(&routes, "a.test", target, "GET", fields).map(|(_, route)| route)
    };
    assert_eq!(route("/a", &[("x-canary", "1")]), Ok(1));
    assert_eq!(route("/a", &[("x-canary", "0"), ("x-canary", "1"), ("x-any", "1")]), Ok(1));
    assert_eq!(route("/a?x&v+%C3%A9=2%203", &[]), Ok(2));
    assert_eq!(route("/a?v+%C3%A9=2%203&x", &[("x-any", "")]), Ok(2));
    assert_eq!(route("/a", &[("x-any", "")]), Ok(3));
    assert_eq!(route("/a", &[("x-re", "v12")]), Ok(4));
    assert_eq!(route("/a/b?q", &[("x-any", "1")]), Ok(5));
    // What no route of the longest prefix takes is for those of the next one, and at last for the pattern.
    assert_eq!(route("/a/b", &[("x-any", "1")]), Ok(3));
    assert_eq!(route("/a/b?Q=1", &[("x-re", "x")]), Ok(6));
    assert_eq!(route("/b", &[]), Ok(0));
}

#[test]
fn a_path_that_takes_other_methods_says_which() {
    let mut post = header("x-a", ValueMatch::Any);
    post.methods = methods(&["POST"]).methods;
    let routes = conditional(vec![
        (prefix("/"), Conditions::default()),
        (prefix("/a"), methods(&["GET", "HEAD"])),
        (prefix("/a"), post),
        (prefix("/a/b"), header("x-b", ValueMatch::Any)),
    ]);
    let route = |method: &str, fields: &[(&'static str, &str)], path: &str| {
        ask(&routes, "a.test", path, method, fields).map(|(_, route)| route)
    };
    assert_eq!(route("HEAD", &[], "/a/b"), Ok(1));
    assert_eq!(route("POST", &[("x-a", "")], "/a"), Ok(2));
    let Err(NoRoute::OtherMethods { vhost, group }) = route("DELETE", &[], "/a/b") else { panic!("taken") };
    assert_eq!(routes.allow(vhost, group), "GET, HEAD, POST");
    assert!(matches!(route("get", &[], "/a"), Err(NoRoute::OtherMethods { .. })));
    assert_eq!(route("DELETE", &[("x-b", "")], "/a/b"), Ok(3));
}

#[test]
fn an_encoded_slash_goes_only_where_a_slash_would() {
    let mut routes: Vec<Route> =
        ["/", "/admin", "/api/"].map(|path| Route::new(prefix(path), Action::Upstream(0))).into();
    for open in [0, 2] {
        routes[open].policy = Policy { encoded_slash: Ambiguous::Pass, ..Policy::default() };
    }
    let routes = Routes::new(&[Vhost::new(vec![HostPattern::Any], routes)]).unwrap();
    let route = |path: &str| find(&routes, "a.test", path).map(|(_, route)| route);
    let refused = Err(NoRoute::EncodedSlash { vhost: 0 });
    assert_eq!(route("/api/group%2fproject"), Ok(2));
    assert_eq!(route("/x%2Fy"), Ok(0));
    for path in ["/admin%2Fx", "/%2Fadmin", "/admin/a%2Fb", "/api%2Fx", "/%2Fapi/x"] {
        assert_eq!(route(path), refused, "{path}");
    }
}

#[test]
fn an_escape_passes_by_no_route_that_its_character_would_take() {
    let routes: Vec<Route> =
        ["/", "/@admin", "/a:b/", "/api/"].map(|path| Route::new(prefix(path), Action::Upstream(0))).into();
    let routes = Routes::new(&[Vhost::new(vec![HostPattern::Any], routes)]).unwrap();
    let route = |path: &str| find(&routes, "a.test", path).map(|(_, route)| route);
    let refused = Err(NoRoute::EncodedDelims { vhost: 0 });
    for path in ["/%40admin", "/%40admin/x", "/a%3ab/", "/a%3Ab/c"] {
        assert_eq!(route(path), refused, "{path}");
    }
    assert_eq!(route("/x%40y"), Ok(0));
    assert_eq!(route("/@admin/%40"), Ok(1));
    assert_eq!(route("/api/a%2Bb%26c"), Ok(3));
}

#[test]
fn hosts_are_the_same_in_any_case_however_many_there_are() {
    let vhosts: Vec<_> =
        (0..500).map(|n| vhost(&[HostPattern::Exact(format!("h{n}.example.com"))], &[prefix("/")])).collect();
    let routes = Routes::new(&vhosts).unwrap();
    for n in [0, 99, 100, 101, 499] {
        for host in [format!("H{n}.Example.COM"), format!("h{n}.EXAMPLE.com.:8080")] {
            assert_eq!(find(&routes, &host, "/"), Ok((n, 0)), "{host}");
        }
    }
}

proptest::proptest! {
    /// What the tree finds is what asking every prefix in turn would.
    #[test]
    fn finds_the_longest_prefix(
        prefixes in proptest::collection::btree_set("/([ab]{1,2}(/[ab]{1,2}){0,3}/?)?", 1..12),
        path in "/([ab]{1,2}(/[ab]{1,2}){0,4}/?)?",
    ) {
        let prefixes: Vec<_> = prefixes.into_iter().collect();
        let paths: Vec<_> = prefixes.iter().map(|path| prefix(path)).collect();
        let routes = Routes::new(&[vhost(&[HostPattern::Any], &paths)]).unwrap();
        let takes = |prefix: &str| {
            path == prefix
                || path.strip_prefix(prefix).is_some_and(|rest| prefix.ends_with('/') || rest.starts_with('/'))
        };
        let expected = (0..prefixes.len()).filter(|at| takes(&prefixes[*at])).max_by_key(|at| prefixes[*at].len());
        proptest::prop_assert_eq!(find(&routes, "a.test", &path).ok(), expected.map(|route| (0, route)));
    }
}
