use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::scene::{LONG_STOP, QUICK_STOP, Scene, name_of, until};

#[test]
fn reaps_ten_thousand_orphans() {
    assert_eq!(Scene::new("").start("orphans=10000").end().0, 0);
}

#[test]
fn reaps_a_thousand_that_one_signal_stands_for() {
    assert_eq!(Scene::new("").start("orphans-at-once=1000").end().0, 0);
}

#[test]
fn a_stop_amid_ten_thousand_orphans_keeps_the_code() {
    let scene = Scene::new(LONG_STOP);
    let init = scene.start("burst=10000");
    scene.wait_for("started");
    init.signal(Signal::SIGTERM);
    let (code, text) = init.end();
    assert_eq!(code, 7, "{text}");
    assert!(scene.has("done"), "whoever made orphans was not awaited: {text}");
}

#[test]
fn a_grandchild_with_a_session_of_its_own_is_asked_and_awaited_too() {
    let scene = Scene::new("");
    assert_eq!(scene.start("straggler=below").end().0, 5);
    assert!(scene.has("done"));
}

#[test]
fn a_stop_while_a_straggler_finishes_changes_nothing() {
    let scene = Scene::new("");
    let init = scene.start("straggler=finish");
    scene.wait_for("waiting");
    // The straggler is init's child as soon as the main one is gone.
    until("the main child's end", || init.children().first().is_some_and(|first| name_of(*first) == "sh"));
    init.signal(Signal::SIGTERM);
    let (code, text) = init.end();
    assert_eq!(code, 5, "{text}");
    assert!(scene.has("done"), "{text}");
}

#[test]
fn a_straggler_may_finish_before_the_deadline() {
    let scene = Scene::new("");
    assert_eq!(scene.start("straggler=finish").end().0, 5);
    assert!(scene.has("done"));
}

#[test]
fn a_straggler_that_ignores_term_is_killed_at_the_deadline() {
    let scene = Scene::new(QUICK_STOP);
    let init = scene.start("straggler=ignore");
    scene.wait_for("waiting");
    let left = Instant::now();
    let (code, text) = init.end();
    assert_eq!(code, 5);
    assert!(text.contains("killing them"), "{text}");
    assert!(left.elapsed() < Duration::from_secs(4), "{:?}", left.elapsed());
}

#[test]
fn the_child_of_a_killed_straggler_is_killed_too() {
    let scene = Scene::new(QUICK_STOP);
    let mut init = scene.start("straggler=two");
    // What outlives init holds stderr open, and reading it to its end would hang.
    init.close_stderr();
    assert_eq!(init.end().0, 5);
    let below = std::fs::read_to_string(scene.path("below")).unwrap();
    assert!(!std::path::Path::new(&format!("/proc/{}", below.trim())).exists(), "{below} is still there");
}
