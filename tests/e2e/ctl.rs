//! `fluxheim ctl` and the operations behind it, on a running proxy.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixListener;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::support::{Running, Scripted, Told, administered, certificate, program, request, set_mode, wait};

const SITE: &str = "[[vhosts]]\nhosts = [\"*\"]\nroutes = [{ path = \"/\", static = \"$DIR/site\" }]\n";

fn rewrite(flux: &Running, change: impl Fn(&str) -> String) {
    let text = std::fs::read_to_string(&flux.config).unwrap();
    std::fs::write(&flux.config, change(&text)).unwrap();
}

fn json(told: &Told) -> Value {
    serde_json::from_str(&told.out).unwrap_or_else(|error| panic!("{error} in {told:?}"))
}

#[test]
fn a_reload_tells_every_mistake_and_what_was_taken() {
    let flux = administered(SITE).file("site/index.html", b"one").start();
    let before = json(&flux.ctl("status --format json"));
    rewrite(&flux, |text| format!("{text}\n[limitz]\n[logging]\nlevle = \"warn\"\n"));
    let told = flux.ctl("reload");
    assert_eq!((told.code, told.out.as_str()), (Some(78), ""), "{told:?}");
    for part in ["the running one stays", ":12:", "limitz", ":14:", "levle"] {
        assert!(told.err.contains(part), "{part} in {}", told.err);
    }
    let told = flux.ctl("reload --format json");
    assert_eq!((told.code, json(&told)["status"].as_u64()), (Some(78), Some(422)));
    assert_eq!(json(&told)["mistakes"].as_array().unwrap().len(), 2, "{told:?}");
    assert_eq!(request(flux.http(), "a", "/").body, b"one");
    let told = flux.ctl("status");
    assert!(told.out.contains("last reload    REFUSED ") && told.out.contains("limitz"), "{}", told.out);
    // A file that can't be used is a mistake like any other.
    rewrite(&flux, |text| text.split("\n[limitz]").next().unwrap().replace("/site", "/none"));
    let told = flux.ctl("reload");
    assert!(told.code == Some(78) && told.err.contains("static root"), "{told:?}");
    rewrite(&flux, |text| {
        text.replace("/none", "/site") + "[limits]\nmax_connections = 77\nmax_uri_size = \"2KiB\"\n"
    });
    let told = flux.ctl("reload");
    assert_eq!(told.code, Some(0), "{told:?}");
    assert!(told.out.starts_with("a new configuration was taken, sha256 "), "{told:?}");
    assert!(told.out.contains("as before until a restart: limits.max_connections\n"), "{told:?}");
    let told = json(&flux.ctl("reload --format json"));
    assert_eq!((&told["changed"], &told["until_restart"]), (&false.into(), &Value::Array(Vec::new())));
    let after = json(&flux.ctl("status --format json"));
    assert_ne!(after["config"]["sha256"], before["config"]["sha256"]);
    assert_eq!((&after["config"]["sha256"], &after["last_reload"]["taken"]), (&told["sha256"], &true.into()));
}

#[test]
fn reloads_that_come_at_once_wait_for_each_other_and_are_all_answered() {
    let flux = administered(SITE).file("site/index.html", b"one").start();
    let answers: Vec<_> = std::thread::scope(|scope| {
        let asked: Vec<_> = (0..8).map(|_| scope.spawn(|| flux.admin("POST", "/v1/reload", ""))).collect();
        flux.signal(Signal::SIGHUP);
        asked.into_iter().map(|asked| asked.join().unwrap()).collect()
    });
    assert!(answers.iter().all(|(status, _)| *status == 200), "{answers:?}");
    flux.wait_for("configuration reloaded");
    // What was written before the order is what is taken, whatever was under way then.
    for number in 0..5 {
        std::thread::scope(|scope| {
            scope.spawn(|| flux.admin("POST", "/v1/reload", ""));
            rewrite(&flux, |text| {
                let text = text.split("\n# ").next().unwrap().to_owned();
                format!("{text}\n# \n[limits]\nmax_uri_size = \"{}KiB\"\n", 2 + number)
            });
            let (_, told) = flux.admin("POST", "/v1/reload", "");
            let (_, status) = flux.admin("GET", "/v1/status", "");
            let config = flux.config.to_str().unwrap();
            let printed = Told::from(program(&["--config", config, "--print-config"])).out;
            assert!(printed.contains(&format!("max_uri_size = \"{}KiB\"", 2 + number)), "{printed}");
            assert_eq!(told["sha256"], status["config"]["sha256"]);
        });
    }
}

#[test]
fn a_drain_finishes_what_is_in_flight_and_ends_the_process() {
    let big = vec![b'x'; 8 << 20];
    let mut flux = administered(SITE).file("site/big", &big).start();
    let mut stream = TcpStream::connect(flux.http()).unwrap();
    stream.write_all(b"GET /big HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    let mut first = [0; 1];
    stream.read_exact(&mut first).unwrap();
    let told = flux.ctl("drain");
    assert_eq!(told.code, Some(0), "{told:?}");
    assert!(told.out.starts_with("stopping: 1 connections, 1 requests in flight, 8s at most"), "{told:?}");
    flux.wait_for("draining");
    // It is still there for questions, and takes no other order.
    let told = flux.ctl("status");
    assert!(told.code == Some(0) && told.out.contains("state          draining"), "{told:?}");
    let told = flux.ctl("reload");
    assert_eq!(told.code, Some(75), "{told:?}");
    assert!(told.err.contains("stopping"), "{told:?}");
    assert_eq!(flux.ctl("drain").code, Some(0));
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    assert!(rest.len() > big.len());
    assert_eq!(flux.wait().code(), Some(0));
    assert!(!flux.admin_socket().exists());
    assert_eq!(flux.ctl("status").code, Some(75));
}

#[test]
fn a_server_drains_and_comes_back_over_reloads() {
    let ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let (one, two) = (Scripted::answering(ok), Scripted::answering(ok));
    let upstream = format!(
        "[[upstreams]]\nname = \"app\"\nservers = [\"{}\", \"{}\"]\n\
         [[vhosts]]\nhosts = [\"*\"]\nroutes = [{{ path = \"/\", upstream = \"app\" }}]\n",
        one.address, two.address
    );
    let flux = administered(&upstream).start();
    let send = |count: usize| {
        let before = (one.requests(), two.requests());
        (0..count).for_each(|_| assert_eq!(request(flux.http(), "a", "/").status, 200));
        (one.requests() - before.0, two.requests() - before.1)
    };
    assert_eq!(send(10), (5, 5));
    let told = flux.ctl(&format!("upstreams drain app {}", one.address));
    assert_eq!(told.code, Some(0), "{told:?}");
    let line = told.out.lines().find(|line| line.contains(&one.address.to_string())).unwrap();
    assert!(line.contains("drain (set by admin)"), "{told:?}");
    assert_eq!(send(10), (0, 10));
    let sample = format!("server=\"{0}\",address=\"{0}\"}} 1", one.address);
    let metrics = String::from_utf8(request(flux.metrics(), "x", "/metrics").body).unwrap();
    assert!(
        metrics.contains(&format!("fluxheim_upstream_server_draining{{upstream=\"app\",{sample}")),
        "{metrics}"
    );
    assert_eq!(flux.ctl("reload").code, Some(0));
    assert_eq!(send(10), (0, 10), "after a reload");
    // Both at once: nobody is left, and that is said as for any other reason.
    assert_eq!(flux.ctl(&format!("upstreams drain app {}", two.address)).code, Some(0));
    assert_eq!(request(flux.http(), "a", "/").status, 503);
    for origin in [&one, &two] {
        let told = flux.ctl(&format!("upstreams ready app {}", origin.address));
        assert!(told.code == Some(0) && !told.out.contains("ready (set by admin)"), "{told:?}");
    }
    assert_eq!(send(10), (5, 5));
    // The configuration's own word, and the operator's against it.
    let (plain, drained) =
        (format!("\"{}\"", one.address), format!("{{ address = \"{}\", drain = true }}", one.address));
    rewrite(&flux, |text| text.replace(&plain, &drained));
    assert_eq!(flux.ctl("reload").code, Some(0));
    assert_eq!(send(10), (0, 10));
    assert_eq!(flux.ctl(&format!("upstreams ready app {}", one.address)).code, Some(0));
    assert_eq!(send(10), (5, 5));
    let told = flux.ctl("upstreams list");
    assert!(told.out.contains("ready (set by admin)"), "{told:?}");
    for (words, said) in [
        (format!("upstreams drain apx {}", one.address), "no upstream \"apx\""),
        ("upstreams drain app nobody:1".to_owned(), "no server \"nobody:1\"; it has 127.0.0.1:"),
    ] {
        let told = flux.ctl(&words);
        assert!(told.code == Some(64) && told.err.contains(said), "{told:?}");
    }
}

#[test]
fn shows_certificates_posture_and_what_cannot_be_asked_for() {
    let pair = "[[tls.certificates]]\nname = \"a\"\ncert = \"$DIR/a.pem\"\nkey = \"$DIR/a.key\"\n";
    let flux = administered(pair);
    certificate(flux.dir.path(), "a", &["a.test", "b.test"]);
    let flux = flux.start();
    let told = flux.ctl("certs list");
    let rows: Vec<Vec<&str>> = told
        .out
        .lines()
        .map(|line| line.split("  ").filter(|cell| !cell.is_empty()).map(str::trim).collect())
        .collect();
    assert_eq!(rows[0], ["NAME", "SOURCE", "STATE", "EXPIRES", "ISSUER", "NAMES"]);
    assert_eq!((rows[1][0], rows[1][1], rows[1][2], rows[1][5]), ("a", "file", "good", "a.test b.test"));
    assert!(["in 2 days", "in 1 day 23h"].contains(&rows[1][3]), "{told:?}");
    assert_eq!(json(&flux.ctl("certs list --format json"))["certificates"][0]["names"][1], "b.test");
    let told = flux.ctl("posture");
    assert!(told.out.contains("not started by fluxheim-init"), "{told:?}");
    let posture = json(&flux.ctl("posture --format json"));
    assert_eq!(posture["verified"], false);
    assert!(posture["proxy"]["dumpable"].is_object() && posture["proxy"]["seccomp"].is_object(), "{posture}");
    for words in
        ["certs renew a", "certs revoke a --reason superseded", "acme rollover", "acme deactivate --issuer x"]
    {
        let told = flux.ctl(words);
        assert_eq!(told.code, Some(64), "{told:?}");
        assert!(told.err.contains("no certificate comes from an ACME issuer"), "{told:?}");
    }
}

#[test]
fn a_list_tells_of_files_that_were_replaced_by_what_cannot_be_used() {
    let pair = "[[tls.certificates]]\nname = \"a\"\ncert = \"$DIR/a.pem\"\nkey = \"$DIR/a.key\"\n";
    let flux = administered(pair);
    certificate(flux.dir.path(), "a", &["a.test"]);
    let flux = flux.start();
    let (key, kept) = (flux.dir.path().join("a.key"), flux.dir.path().join("kept"));
    std::fs::rename(&key, &kept).unwrap();
    std::fs::write(&key, "no key").unwrap();
    set_mode(&key, 0o600);
    flux.wait_for("replaced by what can't be used: what was read before stays in use");
    let told = flux.ctl("certs list");
    assert!(told.out.contains("  file REFUSED: ") && told.out.contains("a.key"), "{told:?}");
    let told = json(&flux.ctl("certs list --format json"));
    let one = &told["certificates"][0];
    assert_eq!(one["state"], "refused", "{told}");
    assert!(one["detail"].as_str().unwrap().contains("[key-unusable]"), "{told}");
    std::fs::rename(&kept, &key).unwrap();
    let good = || flux.ctl("certs list").out.contains("  good  ").then_some(());
    wait(good).unwrap_or_else(|| panic!("{:?}", flux.ctl("certs list")));
}

#[test]
fn says_why_nobody_answers() {
    let flux = administered("");
    let path = flux.write();
    let ctl = |socket: &str| Told::from(program(&["ctl", "status", "--socket", socket]));
    let socket = flux.dir.path().join("run/admin.sock");
    let socket = socket.to_str().unwrap();
    let told = Told::from(program(&["ctl", "--config", path.to_str().unwrap(), "status"]));
    assert!(told.code == Some(75) && told.err.contains("there is no socket"), "{told:?}");
    let listener = UnixListener::bind(socket).unwrap();
    let answers = |bytes: &'static [u8]| {
        let listener = listener.try_clone().unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut head = [0; 1024];
            let _ = stream.read(&mut head);
            let _ = stream.write_all(bytes);
        })
    };
    for (bytes, code, said) in [
        (&b"220 mail.test ESMTP\r\n"[..], 70, "no answer of the admin API"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}", 70, "no answer of the admin API"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", 70, "must be of one version"),
        (b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n", 70, "the proxy answered 500"),
        (b"", 78, "closed the connection unheard"),
    ] {
        let answering = answers(bytes);
        let told = ctl(socket);
        assert!(told.code == Some(code) && told.err.contains(said), "{told:?}");
        answering.join().unwrap();
    }
    set_mode(&path, 0o666);
    let told = Told::from(program(&["ctl", "--config", path.to_str().unwrap(), "status"]));
    assert_eq!(told.code, Some(78), "a configuration that anybody may write names no socket: {told:?}");
    let told = Told::from(program(&["ctl", "stop"]));
    assert!(told.code == Some(64) && told.err.contains("ctl --help"), "{told:?}");
    let told = Told::from(program(&["ctl", "--help"]));
    assert!(told.code == Some(0) && told.out.contains("upstreams drain NAME SERVER"), "{told:?}");
}
