//! What people are told who write what they know from nginx.

#![expect(clippy::unwrap_used, reason = "a test ends where its premise fails")]

use fluxheim_config::{Source, parse};

const LISTEN: &str = "[server]\nhttp = [\"0.0.0.0:8080\"]\n";
const UPSTREAMS: &str = "[[upstreams]]\nname = \"app\"\nservers = [\"app-1:3000\"]\n";

/// What is said of one route, without the place.
fn told(upstreams: &str, route: &str) -> String {
    let text = format!("{LISTEN}{upstreams}[[vhosts]]\nhosts = [\"*\"]\n[[vhosts.routes]]\n{route}\n");
    let mistakes = parse(&[Source { path: "f.toml".into(), text }]).unwrap_err().to_string();
    mistakes
        .lines()
        .map(|line| line.splitn(4, ':').nth(3).unwrap().trim_start())
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn the_sign_before_a_prefix_is_left_out() {
    assert_eq!(
        told(UPSTREAMS, "path = \"^~ /ws\"\nupstream = \"app\""),
        "path: \"^~ /ws\" begins with ^~; write \"/ws\": a prefix is not overridden by regular expressions"
    );
    assert_eq!(
        told(UPSTREAMS, "path = \"@named\"\nupstream = \"app\""),
        "path: \"@named\" does not start with /; write a prefix \"/x\", an exact path \"= /x\", or a regular \
         expression \"~ ^/x$\""
    );
}

#[test]
fn m_is_two_to_the_twentieth() {
    assert_eq!(
        told(UPSTREAMS, "path = \"/\"\nupstream = \"app\"\nlimits = { max_body_size = \"20m\" }"),
        "max_body_size: \"20m\" is not a size; write \"20MiB\""
    );
}

#[test]
fn an_upstream_is_declared_and_named() {
    let with = |upstreams: &str, name: &str| told(upstreams, &format!("path = \"/\"\nupstream = \"{name}\""));
    assert_eq!(
        with(UPSTREAMS, "ncapp:3000"),
        "upstream: \"ncapp:3000\" is not the name of one of [[upstreams]]; declare it: [[upstreams]] with name = \
         \"app\", servers = [\"ncapp:3000\"]; then write \"app\" here; known are app"
    );
    let url = with("", "https://ncapp:3443/x");
    assert!(url.contains("servers = [\"ncapp:3443\"] and tls = {}; then"), "{url}");
    assert!(!url.contains("known"), "{url}");
    let forward =
        "path = \"/\"\nupstream = \"app\"\nforward_auth = { upstream = \"auth:80\", path = \"/v\" }";
    assert!(told(UPSTREAMS, forward).contains("servers = [\"auth:80\"]"));
    assert!(with(UPSTREAMS, "the app").ends_with("a-z A-Z 0-9 _ - .; known are app"));
}

#[test]
fn users_stand_in_a_file() {
    let users = "path = \"/\"\nupstream = \"app\"\nbasic_auth = { users = [\"ann\"] }";
    assert_eq!(
        told(UPSTREAMS, users),
        "unknown key \"users\" in basic_auth; here it is called \"users_file\", as in users_file = \"users\", a file \
         with a line of name:hash for each user; fluxheim --hash-password makes hashes"
    );
}

#[test]
fn websocket_needs_no_key() {
    let said =
        "in [[vhosts.routes]]; remove it: WebSocket is passed on by itself, for every route with an upstream";
    let told = told(UPSTREAMS, "path = \"/\"\nupstream = \"app\"\nwebsocket = true");
    assert_eq!(told, format!("unknown key \"websocket\" {said}"));
}
