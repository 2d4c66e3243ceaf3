//! As the image runs it: uid 65532, programs that belong to root with mode 0111.

use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::scene::{INIT, Scene};

pub(crate) fn posture(scene: &Scene, setpriv: &[&str]) -> (Option<i32>, Value) {
    let program = scene.path("fluxheim-init");
    if !program.exists() {
        std::fs::copy(INIT, &program).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o111)).unwrap();
    }
    let mut command = scene.command("setpriv", "");
    command.args(setpriv).arg(&program).args(["--posture", "--format", "json", "--config"]);
    let output =
        command.arg(scene.path("fluxheim.toml")).stdout(std::process::Stdio::piped()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    (
        output.status.code(),
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {text}")),
    )
}

pub(crate) fn result<'a>(report: &'a Value, control: &str) -> &'a str {
    let controls = report["controls"].as_array().unwrap();
    controls.iter().find(|seen| seen["control"] == control).unwrap()["result"].as_str().unwrap()
}

const PLAIN: [&str; 3] = ["--reuid=65532", "--regid=65532", "--clear-groups"];

#[test]
fn every_required_control_holds_for_a_plain_user() {
    let (code, report) = posture(&Scene::hardened(""), &PLAIN);
    assert_eq!(code, Some(0), "{report}");
    assert_eq!(report["identity"], serde_json::json!({ "uid": 65532, "gid": 65532, "groups": [] }));
    for control in [
        "core_dumps",
        "coredump_filter",
        "dumpable",
        "capabilities",
        "no_new_privs",
        "mdwe",
        "seccomp",
        "landlock",
        "identity",
        "fds",
        "umask",
        "environment",
        "storage",
        "aslr",
        "ptrace_scope",
        "stop_budget",
    ] {
        assert!(["enforced", "inherited"].contains(&result(&report, control)), "{control}: {report}");
    }
    assert_eq!(result(&report, "securebits"), "not_applicable", "{report}");
    let dumpable = report["controls"][2]["evidence"].as_str().unwrap();
    assert!(dumpable.contains("belongs to uid 0, the proxy is uid 65532"), "{dumpable}");
}

#[test]
fn what_the_runtime_gave_already_is_inherited() {
    let (_, report) =
        posture(&Scene::hardened(""), &[&PLAIN[..], &["--no-new-privs", "--bounding-set=-all"]].concat());
    assert_eq!(result(&report, "no_new_privs"), "inherited", "{report}");
    assert_eq!(result(&report, "capabilities"), "inherited", "{report}");
}

#[test]
fn ambient_capabilities_of_a_plain_user_are_dropped() {
    let caps = ["--inh-caps=+net_bind_service", "--ambient-caps=+net_bind_service"];
    let (code, report) = posture(&Scene::hardened(""), &[&PLAIN[..], &caps].concat());
    assert_eq!(code, Some(0), "{report}");
    assert_eq!(result(&report, "capabilities"), "enforced", "{report}");
}
