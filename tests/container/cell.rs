//! One way to start the image: its options, what then runs, and what the host sees of it.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::docker::{Container, children, docker, image_folder, try_docker, wait};

/// The program that is started in the proxy's place, as `scripts/build-binaries` leaves it.
pub(crate) fn confined() -> String {
    let path = image_folder()
        .with_file_name(format!("{}-unknown-linux-gnu/release/examples/confined", std::env::consts::ARCH));
    assert!(path.exists(), "{}: run scripts/build-binaries --container-tests", path.display());
    path.to_str().unwrap().to_owned()
}

/// `Name:\tvalue` lines of /proc/PID/status, read from the host.
pub(crate) fn status(pid: u32) -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    text.lines()
        .filter_map(|line| line.split_once(":\t"))
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect()
}

/// What the running instance was judged to have.
pub(crate) fn report(flux: &Container) -> Value {
    let text = docker(&["exec", &flux.0, "/fluxheim-init", "--posture", "--running", "--format", "json"]);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error} in {text}"))
}

/// What `--posture` says of a container with these options, and its exit code.
pub(crate) fn posture(options: &[&str], arguments: &[&str]) -> (Option<i32>, Value) {
    let image = crate::docker::image();
    let call = [&["run", "--rm"], options, &[&image, "--posture", "--format", "json"], arguments].concat();
    let output = try_docker(&call);
    let told = String::from_utf8_lossy(&output.stderr);
    let report = serde_json::from_slice(&output.stdout);
    (output.status.code(), report.unwrap_or_else(|error| panic!("{error}: {told}")))
}

pub(crate) fn control<'a>(report: &'a Value, name: &str) -> &'a Value {
    let controls = report["controls"].as_array().unwrap();
    let found = controls.iter().find(|entry| entry["control"] == name);
    found.unwrap_or_else(|| panic!("no {name} in {report}"))
}

pub(crate) fn result<'a>(report: &'a Value, name: &str) -> &'a str {
    control(report, name)["result"].as_str().unwrap()
}

pub(crate) fn evidence<'a>(report: &'a Value, name: &str) -> &'a str {
    control(report, name)["evidence"].as_str().unwrap()
}

/// fluxheim-init and the proxy, as the host sees them. Under `docker run --init` both have another
/// process above them.
pub(crate) fn processes(flux: &Container) -> (u32, u32) {
    let (first, child) = (flux.init_pid(), flux.proxy_pid());
    if status(first)["Name"] == "fluxheim-init" {
        return (first, child);
    }
    (child, wait(|| children(child).first().copied()).expect("fluxheim-init has no child"))
}

/// What the kernel and the runtime give a process of a container, whatever ours makes of it.
pub(crate) fn facts(options: &[&str]) -> BTreeMap<String, Vec<String>> {
    let (mount, image) = (format!("{}:/confined:ro", confined()), crate::docker::image());
    let own = ["-v", &mount, "-e", "CONFINED_ACT=facts", "--entrypoint", "/confined"];
    let text = docker(&[&["run", "--rm"], &own[..], options, &[&image]].concat());
    let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
    text.lines().map(words).map(|mut words| (words.remove(0), words)).collect()
}
