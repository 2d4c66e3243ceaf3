//! Who proves to be who: on every path alike, and what an upstream is told of it.

use std::net::SocketAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::support::{Flux, Response, Scripted, exchange, hashed, program, set_mode};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// `policy` on an upstream and a folder of files, with ann's password "open sesame" and bob's "b".
fn guarded(origin: SocketAddr, policy: &str) -> Flux {
    let users = format!("# staff\nann:{}\nbob:{}\n", hashed("open sesame"), hashed("b"));
    with_users(origin, policy, users.as_bytes())
}

fn with_users(origin: SocketAddr, policy: &str, users: &[u8]) -> Flux {
    let flux = Flux::with(&format!(
        "[[upstreams]]\nname = \"app\"\nservers = [\"{origin}\"]\n[[vhosts]]\nhosts = [\"*\"]\n{policy}\n\
         routes = [{{ path = \"/\", upstream = \"app\" }}, {{ path = \"/site/\", static = \"$DIR/files\" }}, \
         {{ path = \"/open/\", upstream = \"app\", basic_auth = \"off\" }}]\n"
    ))
    .file("files/site/a.txt", b"file")
    .file("users", users);
    set_mode(&flux.dir.path().join("users"), 0o600);
    flux
}

const BASIC: &str =
    "basic_auth = { users_file = \"users\", realm = \"staff only\", user_header = \"x-user\" }";

fn ask(at: SocketAddr, line: &str, fields: &str) -> Response {
    exchange(at, &format!("{line} HTTP/1.1\r\nHost: a.test\r\n{fields}Connection: close\r\n\r\n"))
}

fn basic(user: &str, password: &str) -> String {
    format!("Authorization: Basic {}\r\n", STANDARD.encode(format!("{user}:{password}")))
}

#[test]
fn nobody_comes_in_without_a_password_by_any_method_or_path() {
    let origin = Scripted::answering(OK);
    let flux = guarded(origin.address, BASIC).start();
    let at = flux.http();
    for fields in [
        String::new(),
        basic("ann", "wrong"),
        basic("bob", "open sesame"),
        basic("eve", "open sesame"),
        basic("ann", ""),
        "Authorization: Bearer open\r\n".to_owned(),
        "Authorization: Basic !\r\n".to_owned(),
        basic("ann", "open sesame").repeat(2),
    ] {
        for line in ["GET /", "HEAD /", "OPTIONS /", "POST /x", "GET /site/a.txt", "GET /site/none"] {
            let response = ask(at, line, &fields);
            assert_eq!(response.status, 401, "{line} {fields}");
            let challenge = "www-authenticate: basic realm=\"staff only\", charset=\"utf-8\"\r\n";
            assert!(response.head.contains(challenge), "{}", response.head);
        }
    }
    let upgrade = "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n\
                   GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    assert_eq!(exchange(at, upgrade).status, 401);
    assert_eq!(origin.requests(), 0);
    assert_eq!(ask(at, "GET /open/", "").status, 200);
}

#[test]
fn the_upstream_learns_the_name_and_not_the_password() {
    let origin = Scripted::answering(OK);
    let flux = guarded(origin.address, BASIC).start();
    let forged = "X-User: root\r\nX_User: root\r\nx-uSER: root\r\n";
    for _ in 0..2 {
        let response = ask(flux.http(), "GET /in", &format!("{}{forged}", basic("ann", "open sesame")));
        assert_eq!(response.status, 200);
        let head = origin.last_head();
        assert_eq!(head.matches("x-user: ann\r\n").count(), 1, "{head}");
        assert!(!head.contains("root") && !head.contains("authorization"), "{head}");
    }
    let line = flux.access_line("/in").to_string();
    let secret = STANDARD.encode("ann:open sesame");
    assert!(!line.contains(&secret) && !line.contains("open sesame"), "{line}");
    assert_eq!(ask(flux.http(), "GET /site/a.txt", &basic("bob", "b")).body, b"file");
    assert_eq!(ask(flux.http(), "GET /open/", forged).status, 200);
    assert!(!origin.last_head().contains("root"), "{}", origin.last_head());
}

#[test]
fn the_field_is_passed_on_where_that_is_asked_for() {
    let origin = Scripted::answering(OK);
    let policy = "basic_auth = { users_file = \"users\", forward_authorization = true }";
    let flux = guarded(origin.address, policy).start();
    assert_eq!(ask(flux.http(), "GET /", &basic("bob", "b")).status, 200);
    assert!(origin.last_head().contains("authorization: basic "));
}

#[test]
fn a_preflight_is_not_asked_for_a_password_and_a_401_names_the_origin() {
    let origin = Scripted::answering(OK);
    let cors =
        "cors = { origins = [\"https://app.example\"], methods = [\"PUT\"], headers = [\"authorization\"] }";
    let flux = guarded(origin.address, &format!("{BASIC}\n{cors}")).start();
    let page = "Origin: https://app.example\r\n";
    let preflight = ask(flux.http(), "OPTIONS /", &format!("{page}Access-Control-Request-Method: PUT\r\n"));
    assert_eq!(preflight.status, 204, "{}", preflight.head);
    let denied = ask(flux.http(), "PUT /", page);
    assert_eq!(denied.status, 401);
    assert!(denied.head.contains("access-control-allow-origin: https://app.example\r\n"), "{}", denied.head);
}

#[test]
fn without_usable_users_nothing_starts_and_a_reload_changes_nothing() {
    let origin = Scripted::answering(OK);
    for (users, told) in [
        (&b"# nobody\n"[..], "names no user"),
        (b"ann:secret\n", "line 1: it has no argon2id hash"),
        (b"", "0 bytes"),
    ] {
        let output = with_users(origin.address, BASIC, users).run_to_end();
        assert_eq!(output.status.code(), Some(78));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(told) && !said.contains("secret"), "{told}: {said}");
    }
    // The check says so before anything starts.
    let config = with_users(origin.address, BASIC, b"ann:$apr1$abcdefgh$ABCDEFGHIJKLMNOPQRSTU.\n");
    let path = config.write();
    std::os::unix::fs::chown(config.dir.path().join("users"), Some(65532), Some(65532)).unwrap();
    let checked = program(&["--check-tls-storage", "--config", path.to_str().unwrap()]);
    let said = String::from_utf8_lossy(&checked.stdout);
    assert_eq!(checked.status.code(), Some(78), "{said}");
    for part in ["[users-unusable]", "line 1 has an apr1 hash of htpasswd", "fluxheim --hash-password"] {
        assert!(said.contains(part), "{part} is not in {said}");
    }
    let open = guarded(origin.address, BASIC);
    set_mode(&open.dir.path().join("users"), 0o644);
    assert_eq!(open.run_to_end().status.code(), Some(78));
    let gone = guarded(origin.address, BASIC);
    std::fs::remove_file(gone.dir.path().join("users")).unwrap();
    assert_eq!(gone.run_to_end().status.code(), Some(78));

    let flux = guarded(origin.address, BASIC).start();
    std::fs::remove_file(flux.dir.path().join("users")).unwrap();
    flux.signal(nix::sys::signal::Signal::SIGHUP);
    flux.wait_for_start_of("reload refused");
    assert_eq!(ask(flux.http(), "GET /", "").status, 401);
    assert_eq!(ask(flux.http(), "GET /", &basic("ann", "open sesame")).status, 200);
}

#[test]
fn a_user_who_was_removed_is_out_after_a_reload() {
    let origin = Scripted::answering(OK);
    let flux = guarded(origin.address, BASIC).start();
    assert_eq!(ask(flux.http(), "GET /", &basic("ann", "open sesame")).status, 200);
    let users = flux.dir.path().join("users");
    std::fs::write(&users, format!("bob:{}\n", hashed("b"))).unwrap();
    flux.signal(nix::sys::signal::Signal::SIGHUP);
    flux.wait_for("configuration reloaded");
    assert_eq!(ask(flux.http(), "GET /", &basic("ann", "open sesame")).status, 401);
    assert_eq!(ask(flux.http(), "GET /", &basic("bob", "b")).status, 200);
}
