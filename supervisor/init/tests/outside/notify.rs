//! A service manager's side of sd_notify(3).

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::scene::{INIT, Running, Scene};

fn start(scene: &Scene, socket: &str, act: &str) -> Running {
    let mut command = scene.command(INIT, act);
    command.args(scene.arguments()).env("NOTIFY_SOCKET", socket);
    Running::of(command)
}

fn next(manager: &UnixDatagram) -> String {
    manager.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let mut buffer = [0; 1024];
    let length = manager.recv(&mut buffer).unwrap();
    String::from_utf8_lossy(&buffer[..length]).into_owned()
}

/// An abstract name that is this scene's own, without its first byte.
fn abstract_name(scene: &Scene) -> String {
    scene.folder.display().to_string()
}

/// From the start to a stop; `manager` listens at `socket`.
fn tells_start_ready_and_stop(scene: &Scene, manager: &UnixDatagram, socket: &str) {
    let init = start(scene, socket, "serve");
    assert!(next(manager).starts_with("STATUS=starting"));
    scene.wait_for("started");
    let proxy = init.children()[0];
    let environment = std::fs::read_to_string(format!("/proc/{proxy}/environ")).unwrap();
    assert!(environment.contains("FLUXHEIM_TEST_ACT=") && !environment.contains("NOTIFY_SOCKET"));
    scene.write("open", "", 0o644);
    assert_eq!(next(manager), "READY=1\nSTATUS=serving");
    init.signal(Signal::SIGTERM);
    assert_eq!(next(manager), "STOPPING=1\nSTATUS=stopping: the proxy was asked to end");
    assert_eq!(init.end().0, 0);
    manager.set_nonblocking(true).unwrap();
    assert!(manager.recv(&mut [0; 64]).is_err(), "one message too many");
}

#[test]
fn tells_start_ready_and_stop_by_a_path() {
    let scene = Scene::new("");
    let path = scene.path("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    tells_start_ready_and_stop(&scene, &manager, path.to_str().unwrap());
}

#[test]
fn tells_start_ready_and_stop_by_an_abstract_name() {
    let scene = Scene::new("");
    let name = abstract_name(&scene);
    let manager = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    tells_start_ready_and_stop(&scene, &manager, &format!("@{name}"));
}

#[test]
fn a_proxy_that_ends_by_itself_is_a_stop_without_ready() {
    let scene = Scene::new("");
    let path = scene.path("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    let init = start(&scene, path.to_str().unwrap(), "exit=3");
    assert!(next(&manager).starts_with("STATUS=starting"));
    assert_eq!(next(&manager), "STOPPING=1\nSTATUS=stopping: the proxy has ended");
    assert_eq!(init.end().0, 3);
}

#[test]
fn a_manager_that_is_absent_or_out_of_reach_costs_a_line() {
    for (socket, why) in [("/nonexistent/notify", "No such file"), ("vsock:2:1234", "vsock isn't supported")]
    {
        let scene = Scene::new("");
        let init = start(&scene, socket, "serve");
        scene.wait_for("started");
        init.signal(Signal::SIGTERM);
        let (code, text) = init.end();
        assert_eq!(code, 0, "{text}");
        assert!(text.contains(why), "{text}");
    }
}

#[test]
fn a_manager_that_reads_nothing_holds_nobody_up() {
    let scene = Scene::new("");
    let path = scene.path("notify");
    let _deaf = UnixDatagram::bind(&path).unwrap();
    let filling = UnixDatagram::unbound().unwrap();
    filling.set_nonblocking(true).unwrap();
    while filling.send_to(b"STATUS=filling", &path).is_ok() {}
    let init = start(&scene, path.to_str().unwrap(), "serve");
    scene.wait_for("started");
    init.signal(Signal::SIGTERM);
    assert_eq!(init.end().0, 0);
    assert!(scene.has("stopped"));
}

#[test]
fn a_look_at_the_posture_is_no_start() {
    let scene = Scene::new("");
    let path = scene.path("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    let mut command = scene.command(INIT, "");
    command.arg("--posture").arg("--config").arg(scene.path("fluxheim.toml")).env("NOTIFY_SOCKET", &path);
    assert_eq!(Running::of(command).end().0, 0);
    manager.set_nonblocking(true).unwrap();
    assert!(manager.recv(&mut [0; 64]).is_err());
}
