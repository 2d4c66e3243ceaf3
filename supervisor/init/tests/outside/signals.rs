use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};

use crate::scene::{QUICK_STOP, Scene, until};

#[test]
fn term_stops_the_proxy_gracefully() {
    let scene = Scene::new("");
    let init = scene.start("serve");
    scene.wait_for("started");
    init.signal(Signal::SIGTERM);
    assert_eq!(init.end().0, 0);
    assert!(scene.has("stopped"));
}

#[test]
fn forwards_what_a_proxy_may_want_to_hear() {
    let scene = Scene::new("");
    let init = scene.start("record");
    scene.wait_for("started");
    for signal in [
        Signal::SIGHUP,
        Signal::SIGINT,
        Signal::SIGQUIT,
        Signal::SIGUSR1,
        Signal::SIGUSR2,
        Signal::SIGWINCH,
        Signal::SIGCONT,
        Signal::SIGTERM,
    ] {
        init.signal(signal);
        scene.wait_for(&format!("got-{signal}"));
    }
    assert_eq!(init.end().0, 0);
}

#[test]
fn loses_no_term_sent_as_soon_as_the_child_exists() {
    for attempt in 0..100 {
        let scene = Scene::new("");
        let init = scene.start("serve");
        until("a child", || !init.children().is_empty());
        init.signal(Signal::SIGTERM);
        let (code, text) = init.end();
        // 143 before the stand-in blocks TERM, 0 after.
        assert!(code == 143 || code == 0, "attempt {attempt}: {code}: {text}");
    }
}

#[test]
fn loses_no_term_sent_as_soon_as_init_itself_blocks_it() {
    for attempt in 0..20 {
        let scene = Scene::new("");
        let init = scene.start("serve");
        let blocks = format!("/proc/{}/status", init.pid());
        until("blocked signals", || {
            let status = std::fs::read_to_string(&blocks).unwrap();
            status.lines().any(|line| line.starts_with("SigBlk:") && !line.ends_with("0000000000000000"))
        });
        init.signal(Signal::SIGTERM);
        let code = init.end().0;
        assert!(code == 143 || code == 0, "attempt {attempt}: {code}");
    }
}

#[test]
fn kills_a_proxy_that_does_not_stop_in_time() {
    let scene = Scene::new(QUICK_STOP);
    let init = scene.start("stubborn");
    scene.wait_for("started");
    let asked = Instant::now();
    init.signal(Signal::SIGTERM);
    let (code, text) = init.end();
    assert_eq!(code, 137);
    assert!(text.contains("killing it"), "{text}");
    let took = asked.elapsed();
    assert!(took >= Duration::from_millis(1_800) && took < Duration::from_secs(3), "{took:?}");
}

#[test]
fn the_proxy_is_asked_to_stop_when_init_is_lost() {
    let scene = Scene::new("");
    let init = scene.start("serve");
    scene.wait_for("started");
    kill(init.pid(), Signal::SIGKILL).unwrap();
    scene.wait_for("stopped");
}
