use nix::sys::signal::{Signal, kill};

use crate::scene::{Scene, until};

fn health(scene: &Scene, arguments: &[&str]) -> (Option<i32>, String) {
    let output = scene.call(&[&["--health"], arguments].concat());
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

#[test]
fn tells_absent_starting_ready_and_draining_apart() {
    let scene = Scene::new("");
    assert_eq!(health(&scene, &[]).0, Some(75));
    let init = scene.start("serve");
    scene.wait_for("started");
    assert_eq!(health(&scene, &[]), (Some(0), "alive: starting\n".into()));
    assert_eq!(health(&scene, &["--ready"]), (Some(75), "not ready: starting\n".into()));
    scene.write("open", "", 0o644);
    until("readiness", || health(&scene, &["--ready"]).0 == Some(0));
    let load = "7 connections, 2 requests in flight\n";
    assert_eq!(health(&scene, &[]), (Some(0), format!("alive: {load}")));
    assert_eq!(health(&scene, &["--ready"]), (Some(0), format!("ready: {load}")));
    scene.write("drain", "", 0o644);
    assert_eq!(health(&scene, &[]).0, Some(0));
    assert_eq!(health(&scene, &["--ready"]), (Some(75), format!("not ready: draining, {load}")));
    init.signal(Signal::SIGTERM);
    assert_eq!(init.end().0, 0);
    assert_eq!(health(&scene, &[]).0, Some(75));
}

#[test]
fn a_proxy_that_hangs_is_not_alive() {
    let scene = Scene::new("");
    let init = scene.start("serve");
    scene.write("open", "", 0o644);
    until("readiness", || health(&scene, &["--ready"]).0 == Some(0));
    let proxy = init.children()[0];
    kill(proxy, Signal::SIGSTOP).unwrap();
    assert_eq!(health(&scene, &[]), (Some(75), "the proxy doesn't answer\n".into()));
    kill(proxy, Signal::SIGCONT).unwrap();
    assert_eq!(health(&scene, &[]).0, Some(0));
    init.signal(Signal::SIGTERM);
    assert_eq!(init.end().0, 0);
}

#[test]
fn many_probes_at_once_all_get_an_answer() {
    let scene = Scene::new("");
    let init = scene.start("serve");
    scene.write("open", "", 0o644);
    until("readiness", || health(&scene, &["--ready"]).0 == Some(0));
    std::thread::scope(|scope| {
        let probes: Vec<_> = (0..20).map(|_| scope.spawn(|| health(&scene, &["--ready"]).0)).collect();
        for probe in probes {
            assert_eq!(probe.join().unwrap(), Some(0));
        }
    });
    init.signal(Signal::SIGTERM);
    assert_eq!(init.end().0, 0);
}
