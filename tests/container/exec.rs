//! `--exec`: fluxheim-init becomes the proxy, which judges itself and is PID 1.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::unistd::Pid;

use crate::cell::status;
use crate::docker::{Container, docker, mounted_config, run, try_docker, volume, wait};

const WITH_METRICS: &str = r#"
[server]
http = ["0.0.0.0:8080"]
[metrics]
listen = ["0.0.0.0:9090"]
[[vhosts]]
hosts = ["*"]
[[vhosts.routes]]
path = "/"
static = "/srv/fluxheim"
"#;

fn fetch(url: &str) -> String {
    let output = run("curl", "curl", &["-sSf", url]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn serves_as_pid_1_with_the_same_report_and_stops_with_0() {
    let dir = mounted_config(WITH_METRICS, &[]);
    for user in ["65532:65532", "0"] {
        let flux = Container::run_with(&["--user", user, "-v", &volume(&dir)], &["--exec"]);
        flux.wait_for("\"ready\"");
        let logs = flux.logs();
        assert!(logs.contains("verdict: ok") && logs.contains("off swap"), "{logs}");
        let proxy = status(flux.init_pid());
        assert_eq!(proxy["Name"], "fluxheim");
        assert_eq!(proxy["Uid"], "65532\t65532\t65532\t65532");
        assert_eq!((proxy["NoNewPrivs"].as_str(), proxy["CapEff"].as_str()), ("1", "0000000000000000"));
        let at = flux.address();
        assert!(fetch(&format!("http://{at}:8080/")).contains("Fluxheim"));
        let metrics = fetch(&format!("http://{at}:9090/metrics"));
        let shown = metrics.lines().filter(|line| line.starts_with("fluxheim_control{")).count();
        assert_eq!(shown, 20, "{metrics}");
        docker(&["stop", "-t", "10", &flux.0]);
        assert_eq!(flux.exit_code(), 0, "{}", flux.logs());
    }
}

#[test]
fn a_stop_at_the_first_moment_is_obeyed() {
    for try_number in 0..20 {
        let flux = Container::create(&[], &["--exec"]);
        let mut start =
            Command::new("docker").args(["start", &flux.0]).stdout(Stdio::null()).spawn().unwrap();
        let pid = first_moment(&flux.inspect("{{.Id}}"));
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
        start.wait().unwrap();
        let ended = wait(|| (flux.inspect("{{.State.Running}}") == "false").then_some(()));
        assert!(ended.is_some(), "try {try_number}: TERM was lost\n{}", flux.logs());
        assert_eq!(flux.inspect("{{.State.ExitCode}}"), "0", "try {try_number}\n{}", flux.logs());
    }
}

/// Waits for fluxheim-init in the container, and no longer than until it has blocked TERM. What comes
/// before its exec comes to the runtime's own process, which drops it as PID 1 does.
fn first_moment(id: &str) -> Pid {
    let deadline = Instant::now() + Duration::from_secs(30);
    while Instant::now() < deadline {
        for entry in std::fs::read_dir("/proc").unwrap() {
            let Ok(pid) = entry.unwrap().file_name().to_string_lossy().parse::<i32>() else { continue };
            if is_ours(pid, id) {
                return Pid::from_raw(pid);
            }
        }
    }
    panic!("no fluxheim in the container {id}")
}

fn is_ours(pid: i32, id: &str) -> bool {
    // A process may end between its being listed and its being read.
    let read = |name: &str| std::fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default();
    if !read("comm").starts_with("fluxheim") || !read("cgroup").contains(id) {
        return false;
    }
    let status = read("status");
    let takes_term = |line: &str| {
        let mask = line.strip_prefix("SigBlk:\t").or_else(|| line.strip_prefix("SigCgt:\t"));
        mask.and_then(|mask| u64::from_str_radix(mask, 16).ok()).is_some_and(|mask| mask & 1 << 14 != 0)
    };
    status.lines().any(takes_term)
}

#[test]
fn refuses_what_is_required_and_does_not_hold() {
    let dir = mounted_config(&format!("{WITH_METRICS}[hardening]\nmemory_lock = \"required\"\n"), &[]);
    let options = ["-v", &volume(&dir), "--ulimit", "memlock=65536:65536"];
    let flux = Container::run_with(&options, &["--exec"]);
    assert_eq!(flux.exit_code(), 78);
    let logs = flux.logs();
    assert!(logs.contains("verdict: refused: memory_lock"), "{logs}");
    assert!(!logs.contains("listening"), "{logs}");
}

#[test]
fn there_is_nobody_to_ask_for_its_health() {
    let flux = Container::run_with(&[], &["--exec"]);
    flux.wait_for("\"ready\"");
    let asked = try_docker(&["exec", &flux.0, "/fluxheim-init", "--health"]);
    assert_ne!(asked.status.code(), Some(0), "{asked:?}");
}
