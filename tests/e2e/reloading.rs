//! SIGHUP: all of the new configuration or none of it.

use nix::sys::signal::Signal;

use crate::support::{Flux, certificate, request};

const SITE: &str = "[[vhosts]]\nhosts = [\"*\"]\n[[vhosts.routes]]\npath = \"/\"\nstatic = \"$DIR/one\"\n";

#[test]
fn swaps_in_a_new_configuration() {
    let flux = Flux::with(SITE).file("one/index.html", b"one").file("two/index.html", b"two").start();
    assert_eq!(request(flux.http(), "a", "/").body, b"one");
    let text = std::fs::read_to_string(&flux.config).unwrap();
    std::fs::write(&flux.config, text.replace("/one", "/two")).unwrap();
    flux.signal(Signal::SIGHUP);
    flux.wait_for("configuration reloaded");
    assert_eq!(request(flux.http(), "a", "/").body, b"two");
}

#[test]
fn keeps_the_old_configuration_and_lists_every_mistake() {
    let flux = Flux::with(SITE).file("one/index.html", b"one").start();
    let text = std::fs::read_to_string(&flux.config).unwrap();
    std::fs::write(&flux.config, format!("{text}\n[limitz]\n[logging]\nlevle = 1\n")).unwrap();
    flux.signal(Signal::SIGHUP);
    let line = flux.wait_for("reload refused: the running configuration stays");
    let mistakes = line["mistakes"].as_str().unwrap();
    assert!(mistakes.contains("limitz") && mistakes.contains("levle"), "{mistakes}");
    assert_eq!(request(flux.http(), "a", "/").body, b"one");
    assert!(flux.dir.path().exists());
}

#[test]
fn takes_no_first_key_without_a_new_start() {
    let flux = Flux::with(SITE).file("one/index.html", b"one").start();
    certificate(flux.dir.path(), "a", &["a.test"]);
    let text = std::fs::read_to_string(&flux.config).unwrap();
    let with_key = format!("{text}\n[[tls.certificates]]\nname = \"a\"\ncert = \"a.pem\"\nkey = \"a.key\"\n");
    std::fs::write(&flux.config, with_key).unwrap();
    flux.signal(Signal::SIGHUP);
    let line = flux.wait_for("reload refused: the running configuration stays");
    assert!(line["mistakes"].as_str().unwrap().contains("restart"), "{line}");
}

/// A site outside the configuration's own folder.
fn elsewhere(site: &std::path::Path) -> Flux {
    std::fs::create_dir(site.join("one")).unwrap();
    std::fs::write(site.join("one/index.html"), "one").unwrap();
    Flux::with(&SITE.replace("$DIR", site.to_str().unwrap()))
}

#[test]
fn names_the_folder_that_a_confined_process_can_not_reach() {
    let site = crate::support::folder();
    let flux = elsewhere(site.path()).start();
    assert_eq!(request(flux.http(), "a", "/").body, b"one");
    std::fs::create_dir(site.path().join("two")).unwrap();
    let text = std::fs::read_to_string(&flux.config).unwrap();
    std::fs::write(&flux.config, text.replace("/one", "/two")).unwrap();
    flux.signal(Signal::SIGHUP);
    let line = flux.wait_for("reload refused: the running configuration stays");
    let told = line["mistakes"].as_str().unwrap();
    assert!(told.contains(site.path().join("two").to_str().unwrap()) && told.contains("restart"), "{told}");
    assert_eq!(request(flux.http(), "a", "/").body, b"one");
}

#[test]
fn tells_a_folder_that_was_replaced_under_its_name() {
    let site = crate::support::folder();
    let flux = elsewhere(site.path()).start();
    std::fs::rename(site.path().join("one"), site.path().join("old")).unwrap();
    std::fs::create_dir(site.path().join("one")).unwrap();
    flux.signal(Signal::SIGHUP);
    let line = flux.wait_for("reload refused: the running configuration stays");
    assert!(line["mistakes"].as_str().unwrap().contains("/one"), "{line}");
    assert_eq!(request(flux.http(), "a", "/").body, b"one");
}

fn metric(flux: &crate::support::Running, name: &str) -> Option<f64> {
    let text = String::from_utf8(request(flux.metrics(), "x", "/metrics").body).unwrap();
    text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

#[test]
fn counts_reloads_and_names_what_has_to_wait_for_a_restart() {
    let flux = Flux::with(SITE).file("one/index.html", b"one").start();
    assert_eq!(metric(&flux, "fluxheim_config_reload_success "), Some(1.0));
    let taken_at = metric(&flux, "fluxheim_config_reload_timestamp_seconds ").unwrap();
    let text = std::fs::read_to_string(&flux.config).unwrap();
    std::fs::write(&flux.config, format!("{text}\n[limits]\nmax_bodysize = 1\n")).unwrap();
    flux.signal(Signal::SIGHUP);
    flux.wait_for("reload refused: the running configuration stays");
    assert_eq!(metric(&flux, "fluxheim_config_reload_success "), Some(0.0));
    assert_eq!(metric(&flux, "fluxheim_config_reloads_total{result=\"refused\"} "), Some(1.0));
    assert_eq!(metric(&flux, "fluxheim_config_reload_timestamp_seconds "), Some(taken_at));
    let fixed = "[limits]\nkeepalive_requests = 7\nmax_body_size = \"5MiB\"\nwrite_timeout = \"9s\"\n";
    std::fs::write(&flux.config, format!("{text}\n{fixed}")).unwrap();
    flux.signal(Signal::SIGHUP);
    let said = flux.wait_for("changed, and as before until a restart");
    assert_eq!(said["keys"], "limits.keepalive_requests");
    flux.wait_for("configuration reloaded");
    assert_eq!(metric(&flux, "fluxheim_config_reload_success "), Some(1.0));
    assert!(metric(&flux, "fluxheim_config_reload_timestamp_seconds ").unwrap() > taken_at);
}

#[test]
fn drops_the_series_of_what_is_gone() {
    let flux = Flux::with(&SITE.replace("\"*\"", "\"one.test\"")).file("one/index.html", b"one").start();
    request(flux.http(), "one.test", "/");
    assert_eq!(metric(&flux, "fluxheim_http_requests_total{vhost=\"one.test\",code=\"200\"} "), Some(1.0));
    let text = std::fs::read_to_string(&flux.config).unwrap();
    std::fs::write(&flux.config, text.replace("one.test", "two.test")).unwrap();
    flux.signal(Signal::SIGHUP);
    flux.wait_for("configuration reloaded");
    request(flux.http(), "two.test", "/");
    let all = String::from_utf8(request(flux.metrics(), "x", "/metrics").body).unwrap();
    assert!(!all.contains("one.test") && all.contains("vhost=\"two.test\",code=\"200\"} 1\n"), "{all}");
}

/// The origin holds each response until it is told.
fn held_origin() -> (std::net::SocketAddr, std::sync::mpsc::Sender<()>) {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (release, held) = std::sync::mpsc::channel::<()>();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 4096]).unwrap();
        let _ = held.recv();
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nold").unwrap();
        let _ = stream.read(&mut [0; 1]);
    });
    (address, release)
}

#[test]
fn finishes_requests_in_flight_on_the_tables_they_began_with() {
    let (origin, release) = held_origin();
    let rest = format!(
        "[[upstreams]]\nname = \"old\"\nservers = [\"{origin}\"]\n[[vhosts]]\nhosts = [\"old.test\"]\n\
         [[vhosts.routes]]\npath = \"/\"\nupstream = \"old\"\n"
    );
    let flux = Flux::with(&rest).file("one/index.html", b"one").start();
    let address = flux.http();
    let client = std::thread::spawn(move || request(address, "old.test", "/held"));
    crate::support::wait(|| metric(&flux, "fluxheim_http_requests_in_flight ").filter(|count| *count > 0.0))
        .expect("the request never began");
    let text = std::fs::read_to_string(&flux.config).unwrap();
    let site = SITE.replace("$DIR", flux.dir.path().to_str().unwrap()).replace("\"*\"", "\"new.test\"");
    std::fs::write(&flux.config, text.replace(&rest, &site)).unwrap();
    flux.signal(Signal::SIGHUP);
    flux.wait_for("configuration reloaded");
    assert_eq!(request(address, "old.test", "/gone").status, 421);
    assert_eq!(request(address, "new.test", "/").body, b"one");
    release.send(()).unwrap();
    let answer = client.join().unwrap();
    assert_eq!((answer.status, answer.body.as_slice()), (200, &b"old"[..]));
    let line = flux.access_line("/held");
    assert_eq!((&line["vhost"], &line["upstream"]), (&"old.test".into(), &"old".into()), "{line}");
}

#[test]
fn loses_no_request_to_reloads_under_load() {
    use crate::support::{Nginx, exchange};
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    let origin = Nginx::serving(&[("x", b"proxied")]);
    let rest = format!(
        "[[upstreams]]\nname = \"app\"\nservers = [\"{}\"]\n[[vhosts]]\nhosts = [\"*\"]\n[[vhosts.routes]]\n\
         path = \"/x\"\nupstream = \"app\"\n[[vhosts.routes]]\npath = \"/\"\nstatic = \"$DIR/one\"\n",
        origin.address
    );
    let flux =
        Flux::with(&format!("[logging]\nlevel = \"info\"\n{rest}")).file("one/index.html", b"one").start();
    let (address, stop, served) = (flux.http(), AtomicBool::new(false), AtomicUsize::new(0));
    let text = std::fs::read_to_string(&flux.config).unwrap();
    std::thread::scope(|scope| {
        for path in ["/x", "/", "/x", "/"] {
            let (stop, served) = (&stop, &served);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let two = format!(
                        "GET {path} HTTP/1.1\r\nHost: a\r\n\r\nGET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
                    );
                    let answer = exchange(address, &two);
                    let all = answer.head + &String::from_utf8_lossy(&answer.body).to_ascii_lowercase();
                    assert_eq!(all.matches("http/1.1 200 ok").count(), 2, "{all}");
                    served.fetch_add(2, Ordering::Relaxed);
                }
            });
        }
        for round in 0..10 {
            // As many requests as that between two reloads, however slow the machine is.
            let before = served.load(Ordering::Relaxed);
            crate::support::wait(|| (served.load(Ordering::Relaxed) > before + 8).then_some(())).unwrap();
            let with = format!("{text}\n[limits]\nmax_body_size = \"{}MiB\"\n", round + 2);
            std::fs::write(&flux.config, with).unwrap();
            flux.signal(Signal::SIGHUP);
            let taken = format!("fluxheim_config_reloads_total{{result=\"taken\"}} {}\n", round + 1);
            let reloaded = || {
                let all = String::from_utf8(request(flux.metrics(), "x", "/metrics").body).unwrap();
                all.contains(&taken).then_some(())
            };
            crate::support::wait(reloaded).unwrap_or_else(|| panic!("reload {round} was not taken"));
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_reload_changes_what_is_said_and_whether_requests_are_logged() {
    let logging = |level: &str, access: bool| format!("[logging]\nlevel = \"{level}\"\naccess = {access}\n");
    let first = logging("info", false);
    let flux = Flux::with(&format!("{first}{SITE}")).file("one/index.html", b"one").start();
    let text = std::fs::read_to_string(&flux.config).unwrap();
    let reload = |level: &str, access: bool| {
        std::fs::write(&flux.config, text.replace(&first, &logging(level, access))).unwrap();
        flux.signal(Signal::SIGHUP);
    };
    request(flux.http(), "a", "/quiet");
    reload("error", true);
    let logged = crate::support::wait(|| {
        request(flux.http(), "a", "/loud");
        flux.said().contains("/loud").then_some(())
    });
    assert!(logged.is_some(), "{}", flux.said());
    assert!(!flux.said().contains("configuration reloaded"), "{}", flux.said());
    reload("info", false);
    flux.wait_for("configuration reloaded");
    request(flux.http(), "a", "/silent");
    reload("info", true);
    flux.wait_for_times("configuration reloaded", 2);
    request(flux.http(), "a", "/last");
    flux.access_line("/last");
    let said = flux.said();
    assert!(!said.contains("/quiet") && !said.contains("/silent"), "{said}");
}
