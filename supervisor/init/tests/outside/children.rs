use std::time::{Duration, Instant};

use crate::scene::{QUICK_STOP, Scene};

#[test]
fn reaps_two_thousand_orphans() {
    assert_eq!(Scene::new("").start("orphans=2000").end().0, 0);
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
