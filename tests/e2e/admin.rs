//! The admin socket: who is let in, what is listened to, how it comes and goes.

use std::io::{Read, Write};
use std::os::unix::fs::{FileTypeExt, PermissionsExt, chown};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::support::{ADMIN, Flux, Running, Told, administered, curl, program, request, set_mode, wait};

fn metrics(flux: &Running) -> String {
    String::from_utf8(request(flux.metrics(), "x", "/metrics").body).unwrap()
}

#[test]
fn answers_curl_on_a_socket_for_its_owner_alone_and_takes_it_away_at_the_end() {
    let mut flux = administered("").start();
    let socket = flux.admin_socket();
    let seen = std::fs::symlink_metadata(&socket).unwrap();
    assert!(seen.file_type().is_socket());
    assert_eq!(seen.permissions().mode() & 0o7777, 0o600);
    let got = curl(&["--unix-socket", socket.to_str().unwrap(), "http://localhost/v1/status"]);
    let status: Value = serde_json::from_slice(&got).unwrap();
    assert_eq!((status["ready"].as_bool(), status["pid"].as_u64()), (Some(true), Some(flux.pid().into())));
    let kinds: Vec<_> = status["listeners"].as_array().unwrap().iter().map(|one| &one["kind"]).collect();
    assert_eq!(kinds, ["http", "metrics", "admin"]);
    assert_eq!(status["listeners"][0]["address"], flux.http().to_string());
    // It can be had for the asking what is in use.
    let config = flux.config.to_str().unwrap();
    let sum = format!("{} --config {config} --print-config | sha256sum", env!("CARGO_BIN_EXE_fluxheim"));
    let sum = Told::from(Command::new("sh").args(["-c", &sum]).output().unwrap());
    assert_eq!(sum.out.split(' ').next(), status["config"]["sha256"].as_str());
    flux.signal(Signal::SIGTERM);
    assert_eq!(flux.wait().code(), Some(0));
    assert!(!socket.exists());
}

#[test]
fn is_off_unless_asked_for() {
    let flux = Flux::with("").start();
    let told = flux.ctl("status");
    assert_eq!(told.code, Some(78), "{told:?}");
    assert!(told.err.contains("names no admin socket: set socket"), "{told:?}");
    assert!(!flux.said().contains("admin socket"));
}

#[test]
fn listens_to_its_own_user_and_root_and_to_nobody_else() {
    let flux = administered("");
    chown(flux.dir.path().join("run"), Some(65532), Some(65532)).unwrap();
    let flux = flux.start_locking(1 << 20);
    let socket = flux.admin_socket();
    // As if the mode were no wall: what is left is the kernel's word on who connects.
    for (path, mode) in [(flux.dir.path(), 0o755), (&flux.dir.path().join("run"), 0o755), (&socket, 0o666)] {
        set_mode(path, mode);
    }
    let by = |uid: u32| {
        let mut command = Command::new("curl");
        command.args(["-sS", "--max-time", "20", "-o", "/dev/null", "-w", "%{http_code}", "--unix-socket"]);
        let output = command.arg(&socket).arg("http://localhost/v1/status").uid(uid).gid(uid).output();
        let output = output.expect("install it with: apt-get install -y curl");
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!((by(0).as_str(), by(65532).as_str()), ("200", "200"));
    for stranger in [1000, 65531, 65533, 65534] {
        assert_eq!(by(stranger), "000", "{stranger}");
    }
    // The program is where they get at it.
    let ctl = Command::new(flux.dir.path().join("fluxheim"))
        .args(["ctl", "status", "--socket", socket.to_str().unwrap()])
        .uid(1000)
        .gid(1000)
        .output();
    let told = Told::from(ctl.unwrap());
    assert_eq!(told.code, Some(78), "{told:?}");
    assert!(told.err.contains("neither its own nor root"), "{told:?}");
    assert!(metrics(&flux).contains("fluxheim_admin_connections_refused_total{reason=\"peer\"} 5\n"));
    let line = flux.wait_for("admin connection refused: not the proxy's own user, nor root");
    assert_eq!(line["uid"], 1000);
    set_mode(&socket, 0o600);
    assert_eq!(by(1000), "000");
}

/// Each with what it is answered; none does anything.
#[test]
fn refuses_what_is_not_plainly_meant_for_it() {
    let flux = administered("").start();
    let local = "Host: localhost\r\n";
    let json = "Content-Type: application/json\r\n";
    let cases = [
        ("POST /v1/reload", format!("{local}Origin: http://localhost\r\n"), "", 403),
        ("POST /v1/reload", format!("{local}Origin: null\r\n"), "", 403),
        ("POST /v1/reload", format!("{local}Sec-Fetch-Site: cross-site\r\n"), "", 403),
        ("POST /v1/reload", format!("{local}Referer: https://evil.test/\r\n"), "", 403),
        ("OPTIONS /v1/reload", format!("{local}Access-Control-Request-Method: POST\r\n"), "", 403),
        ("POST /v1/reload", "Host: evil.test\r\n".to_owned(), "", 421),
        ("POST /v1/reload", "Host: 127.0.0.1\r\n".to_owned(), "", 421),
        ("POST /v1/reload", "Host: localhost:80\r\n".to_owned(), "", 421),
        ("POST /v1/reload", String::new(), "", 400),
        ("POST /v1/reload", format!("{local}{local}"), "", 400),
        ("POST http://localhost/v1/reload", local.to_owned(), "", 400),
        ("POST /v1/reload?force=1", local.to_owned(), "", 400),
        ("POST /v1/reload/", local.to_owned(), "", 404),
        ("POST //v1/reload", local.to_owned(), "", 404),
        ("POST /v1/%72eload", local.to_owned(), "", 404),
        ("POST /v1/status/../reload", local.to_owned(), "", 404),
        ("POST /V1/RELOAD", local.to_owned(), "", 404),
        ("POST /v1/reloads", local.to_owned(), "", 404),
        ("POST /v2/reload", local.to_owned(), "", 404),
        ("GET /v1/reload", local.to_owned(), "", 405),
        ("HEAD /v1/status", local.to_owned(), "", 405),
        ("post /v1/reload", local.to_owned(), "", 405),
        ("GET /v1/reload", format!("{local}X-HTTP-Method-Override: POST\r\n"), "", 405),
        ("POST /v1/reload", format!("{local}{json}Content-Length: 2\r\n"), "{}", 400),
        ("POST /v1/reload", format!("{local}Transfer-Encoding: chunked\r\n"), "0\r\n\r\n", 411),
        ("POST /v1/reload", format!("{local}Content-Length: 4097\r\n"), "", 413),
        ("POST /v1/reload", format!("{local}Expect: 100-continue\r\nContent-Length: 2\r\n"), "{}", 417),
        ("POST /v1/reload", format!("{local}Upgrade: h2c\r\nConnection: Upgrade\r\n"), "", 400),
        (
            "POST /v1/acme/rollover",
            format!("{local}Content-Type: text/plain\r\nContent-Length: 2\r\n"),
            "{}",
            415,
        ),
        ("POST /v1/acme/rollover", format!("{local}{json}Content-Length: 9\r\n"), "{\"x\":true", 400),
        ("POST /v1/acme/rollover", format!("{local}{json}Content-Length: 10\r\n"), "{\"x\":true}", 400),
        ("POST /v1/acme/rollover", local.to_owned(), "", 404),
        ("CONNECT localhost:80", local.to_owned(), "", 405),
    ];
    let count = cases.len();
    for (line, fields, body, status) in cases {
        let sent = format!("{line} HTTP/1.1\r\n{fields}\r\n{body}");
        let response = flux.admin_raw(sent.as_bytes()).unwrap_or_else(|| panic!("no answer to {sent:?}"));
        assert_eq!(response.status, status, "{sent:?}");
        assert!(
            response.head.contains("application/problem+json") && !response.head.contains("access-control")
        );
        if status == 405 && !line.starts_with("CONNECT") {
            assert!(response.head.contains("\nallow: "), "{}", response.head);
        }
    }
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01"[..],
        b"GET /v1/status HTTP/1.1\nHost: localhost\n\n",
        b"PRI * HTTP/2.0\r\n\r\n",
    ] {
        assert!(flux.admin_raw(bytes).unwrap().status >= 400);
    }
    flux.wait_for_times("admin request refused", count + 3);
    assert!(!flux.said().contains("reloaded"), "{}", flux.said());
}

#[test]
fn audits_every_request_whatever_the_level_of_the_log() {
    let flux = administered("[logging]\nlevel = \"error\"\n");
    let path = flux.write();
    let flux = flux.start_silently(&path);
    assert_eq!(flux.admin("GET", "/v1/status", "").0, 200);
    let line = flux.wait_for("admin request");
    assert_eq!(
        (&line["operation"], &line["path"], &line["status"]),
        (&"status".into(), &"/v1/status".into(), &200.into())
    );
    assert_eq!((line["uid"].as_u64(), line["pid"].as_u64()), (Some(0), Some(std::process::id().into())));
    assert_eq!(flux.admin("POST", "/v1/upstreams/none/servers/a:1", "{\"state\":\"drain\"}").0, 404);
    let line = flux.wait_for("admin request refused");
    assert_eq!(
        (&line["operation"], &line["detail"]),
        (&"set_server".into(), &"there is no upstream \"none\"".into())
    );
}

#[test]
fn a_flood_of_connections_is_turned_away_and_over_in_seconds() {
    let flux = administered("").start();
    let connect = || {
        let stream = UnixStream::connect(flux.admin_socket()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
    };
    let begun = Instant::now();
    let mut idle: Vec<_> = (0..32).map(|_| connect()).collect();
    let mut text = String::new();
    connect().read_to_string(&mut text).unwrap();
    assert!(text.starts_with("HTTP/1.1 503 "), "{text}");
    let told = flux.ctl("status");
    assert_eq!(told.code, Some(75), "{told:?}");
    // A byte now and then buys no time.
    let slow = &mut idle[0];
    while slow.write_all(b"G").is_ok() && begun.elapsed() < Duration::from_secs(15) {
        std::thread::sleep(Duration::from_millis(200));
    }
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    for stream in &mut idle[1..] {
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        assert!(text.starts_with("HTTP/1.1 408 "), "{text}");
    }
    drop(idle);
    assert!(wait(|| (flux.admin("GET", "/v1/status", "").0 == 200).then_some(())).is_some());
    assert!(metrics(&flux).contains("fluxheim_admin_connections_refused_total{reason=\"busy\"}"));
}

#[test]
fn replaces_the_socket_of_a_killed_process_and_not_that_of_a_live_one() {
    let mut flux = administered("").start();
    let socket = flux.admin_socket();
    let second = Told::from(program(&["--config", flux.config.to_str().unwrap()]));
    assert_eq!(second.code, Some(75), "{second:?}");
    assert!(second.err.contains("another process listens there"), "{second:?}");
    assert_eq!(flux.ctl("status").code, Some(0));
    flux.signal(Signal::SIGKILL);
    flux.wait();
    assert!(socket.exists());
    let told = flux.ctl("status");
    assert_eq!(told.code, Some(75), "{told:?}");
    assert!(told.err.contains("nobody listens"), "{told:?}");
    let flux = flux.start_again();
    assert_eq!(flux.ctl("status").code, Some(0));
}

#[test]
fn starts_only_where_nobody_else_can_exchange_the_socket() {
    let refused = |change: &dyn Fn(&Path)| {
        let flux = administered("");
        change(&flux.dir.path().join("run"));
        let told = Told::from(flux.run_to_end());
        assert_eq!(told.code, Some(78), "{told:?}");
        told.err
    };
    let said = refused(&|run| set_mode(run, 0o777));
    assert!(said.contains("socket folder of admin.socket") && said.contains("chmod 0700"), "{said}");
    let said = refused(&|run| chown(run, Some(1000), Some(1000)).unwrap());
    assert!(said.contains("must belong to the service user"), "{said}");
    let said = refused(&|run| std::fs::remove_dir(run).unwrap());
    assert!(said.contains("socket folder of admin.socket"), "{said}");
    let said = refused(&|run| std::fs::write(run.join("admin.sock"), "mine").unwrap());
    assert!(said.contains("is no socket of this user"), "{said}");
    // By the check too, before anything is started.
    let flux = Flux::with(ADMIN);
    std::fs::create_dir(flux.dir.path().join("run")).unwrap();
    set_mode(&flux.dir.path().join("run"), 0o755);
    let told = Told::from(program(&["--check-tls-storage", "--config", flux.write().to_str().unwrap()]));
    assert_eq!(told.code, Some(78), "{told:?}");
    assert!(told.out.contains("socket folder"), "{told:?}");
}

#[test]
fn a_start_that_fails_leaves_no_socket_behind() {
    let flux =
        administered("[[vhosts]]\nhosts = [\"*\"]\nroutes = [{ path = \"/\", static = \"$DIR/none\" }]\n");
    let told = Told::from(flux.run_to_end());
    assert_eq!(told.code, Some(78), "{told:?}");
    assert!(!flux.dir.path().join("run/admin.sock").exists());
}
