//! A start as uid 0, which is given up: as the image is run with `--user 0`.

use std::collections::BTreeMap;
use std::os::unix::fs::{PermissionsExt, chown};
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::scene::{INIT, Running, Scene};
use crate::unprivileged::{posture, result};

const DOCKER_ROOT: &str = "[hardening]\nprofile = \"docker-root\"\n";

#[test]
fn becomes_the_service_user_with_no_way_back() {
    // Groups of root's, as a login would give.
    let (code, report) = posture(&Scene::hardened(DOCKER_ROOT), &["--groups=4,27"]);
    assert_eq!(code, Some(0), "{report}");
    assert_eq!(report["identity"], serde_json::json!({ "uid": 65532, "gid": 65532, "groups": [] }));
    for control in ["identity", "securebits", "capabilities", "dumpable"] {
        assert_eq!(result(&report, control), "enforced", "{control}: {report}");
    }
    let evidence = report["controls"][5]["evidence"].as_str().unwrap();
    assert!(evidence.contains("all five sets are empty"), "{evidence}");
}

#[test]
fn docker_root_is_refused_to_a_plain_user() {
    let plain = ["--reuid=65532", "--regid=65532", "--clear-groups"];
    let (code, report) = posture(&Scene::hardened(DOCKER_ROOT), &plain);
    assert_eq!(code, Some(78));
    assert_eq!(report["refused"], serde_json::json!(["securebits"]));
}

#[test]
fn without_setpcap_the_ids_are_given_up_all_the_same() {
    let (code, report) = posture(&Scene::hardened(""), &["--bounding-set=-setpcap"]);
    assert_eq!(code, Some(0), "{report}");
    assert_eq!(result(&report, "identity"), "enforced", "{report}");
    // What is left of the bounding set is inert for a plain user under no_new_privs.
    assert_eq!(result(&report, "capabilities"), "enforced", "{report}");
    assert_eq!(result(&report, "securebits"), "violated", "{report}");
}

#[test]
fn without_setuid_root_can_not_be_given_up_and_is_refused() {
    let (code, report) = posture(&Scene::hardened(""), &["--bounding-set=-setuid"]);
    assert_eq!(code, Some(78));
    assert_eq!(result(&report, "identity"), "violated", "{report}");
    let errno = |control: &Value| control["errno"]["number"].as_i64();
    let identity =
        report["controls"].as_array().unwrap().iter().find(|c| c["control"] == "identity").unwrap();
    assert_eq!(errno(identity), Some(i64::from(libc::EPERM)), "{identity}");
}

#[test]
fn a_user_namespace_that_maps_one_id_is_partial_and_best_effort_under_rootless() {
    let scene = Scene::hardened("[hardening]\nprofile = \"rootless\"\n");
    let mut command = scene.command("unshare", "");
    command.args(["--user", "--map-root-user", INIT, "--posture", "--format", "json", "--config"]);
    let output = command.arg(scene.path("fluxheim.toml")).stdout(Stdio::piped()).output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{report}");
    assert_eq!(result(&report, "identity"), "partial", "{report}");
    for control in ["seccomp", "landlock", "mdwe", "no_new_privs"] {
        assert_eq!(result(&report, control), "enforced", "{control}: {report}");
    }
}

/// `Name:` lines of /proc/PID/status.
fn status(pid: nix::unistd::Pid) -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let lines = text.lines().filter_map(|line| line.split_once(":\t"));
    lines.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect()
}

#[test]
fn init_itself_is_the_service_user_and_still_stops_its_proxy() {
    let relaxed = "[hardening]\nidentity = \"required\"\nseccomp = \"off\"\nlandlock = \"off\"\n";
    let scene = Scene::hardened(relaxed);
    // Where the stand-in leaves marks, and where it can be executed by whoever it becomes.
    let marks = scene.path("marks");
    std::fs::create_dir(&marks).unwrap();
    chown(&marks, Some(65532), Some(65532)).unwrap();
    std::fs::copy(std::env::current_exe().unwrap(), scene.path("act")).unwrap();
    std::fs::set_permissions(scene.path("act"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let act = scene.path("act");
    let script = format!(
        "#!/bin/sh\nexec env --block-signal '{}' act::proxy --exact --ignored --nocapture --test-threads=1\n",
        act.display()
    );
    scene.write("proxy", &script, 0o755);
    let mut command = scene.command(INIT, "serve");
    command.args(scene.arguments()).env("FLUXHEIM_TEST_FOLDER", &marks);
    let init = Running::of(command);
    scene.wait_for("marks/started");
    for pid in [init.pid(), init.children()[0]] {
        let status = status(pid);
        assert_eq!(status["Uid"], "65532\t65532\t65532\t65532", "{pid}");
        assert_eq!(status["Gid"], "65532\t65532\t65532\t65532", "{pid}");
        assert_eq!(status["Groups"], "", "{pid}");
        for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            assert_eq!(status[set], "0000000000000000", "{pid} {set}");
        }
    }
    // Root asks an init that isn't root any more.
    assert_eq!(scene.call(&["--health"]).status.code(), Some(0));
    init.signal(Signal::SIGTERM);
    assert_eq!(init.end().0, 0);
    assert!(scene.has("marks/stopped"));
}

#[test]
fn a_secret_in_the_environment_is_kept_from_the_proxy_and_reported() {
    let scene = Scene::hardened("");
    let call = |profile: &str| {
        let mut command = Command::new(INIT);
        command.args(["--posture", "--format", "json", "--profile", profile, "--config"]);
        let command = command.arg(scene.path("fluxheim.toml")).env("DEPLOY_TOKEN", "hush-hush");
        let output = command.output().unwrap();
        assert!(!String::from_utf8_lossy(&output.stdout).contains("hush-hush"));
        (output.status.code(), serde_json::from_slice::<Value>(&output.stdout).unwrap())
    };
    let (code, report) = call("container");
    assert_eq!((code, result(&report, "environment")), (Some(0), "partial"), "{report}");
    let (code, report) = call("strict");
    assert_eq!(code, Some(78));
    assert!(report["refused"].as_array().unwrap().contains(&"environment".into()), "{report}");
    assert_eq!(report["profile"], "strict");
}

#[test]
fn memory_that_was_laid_out_the_same_every_time_is_random_again() {
    let scene = Scene::hardened("");
    let mut command = scene.command("setarch", "");
    command.args(["-R", INIT, "--posture", "--format", "json", "--config"]);
    let output = command.arg(scene.path("fluxheim.toml")).stdout(Stdio::piped()).output();
    let output = output.expect("setarch is missing: apt-get install util-linux");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(result(&report, "aslr"), "enforced", "{report}");
}

#[test]
fn a_storage_refusal_lists_everything_else_that_would_be_refused() {
    let scene = Scene::hardened("");
    scene.write("k.pem", "", 0o644);
    let pair = "[[tls.certificates]]\nname = \"a\"\ncert = \"k.pem\"\nkey = \"k.pem\"\n";
    let strict = "[hardening]\nmemory_lock = \"required\"\nread_only_root = \"required\"\n";
    let text = format!("[server]\nhttps = [\"127.0.0.1:8443\"]\n{pair}{strict}");
    scene.write("fluxheim.toml", &text, 0o644);
    let mut command = scene.command("sh", "serve");
    command.args(["-c", "ulimit -l 64 && exec \"$0\" \"$@\"", INIT]).args(scene.arguments());
    let (code, told) = Running::of(command).end();
    assert_eq!(code, 78, "{told}");
    assert!(told.contains("verdict: refused: memory_lock, read_only_root, storage"), "{told}");
    assert!(!scene.has("executed"), "{told}");
}

#[test]
fn no_capability_is_left_where_they_are_only_observed() {
    let scene = Scene::hardened("[hardening]\ncapabilities = \"observe\"\n");
    let (code, report) = posture(&scene, &[]);
    assert_eq!(code, Some(0), "{report}");
    let evidence = report["controls"][5]["evidence"].as_str().unwrap();
    assert!(evidence.starts_with("no set gives any"), "{evidence}");
    assert_eq!(result(&report, "capabilities"), "inherited", "{report}");
}

#[test]
fn the_storage_check_judges_for_whom_a_start_becomes() {
    let scene = Scene::hardened("");
    let pair = "[[tls.certificates]]\nname = \"a\"\ncert = \"c.pem\"\nkey = \"c.key\"\n";
    scene.write("fluxheim.toml", &format!("[server]\nhttps = [\"127.0.0.1:8443\"]\n{pair}"), 0o644);
    crate::fixtures::certificate(&scene.path(""), "c", &["c.test"]);
    let check = || scene.call(&["--check-tls-storage"]);
    let refused = check();
    assert_eq!(refused.status.code(), Some(78));
    assert!(String::from_utf8_lossy(&refused.stdout).contains("as user 65532"), "{refused:?}");
    chown(scene.path("c.key"), Some(65532), Some(65532)).unwrap();
    assert_eq!(check().status.code(), Some(0), "{:?}", check());
}
