//! What the image says of its own hardening, held against what the host sees.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::docker::{Container, docker, wait};

/// `Name:\tvalue` lines of /proc/PID/status, read from the host.
fn status(pid: u32) -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    text.lines()
        .filter_map(|line| line.split_once(":\t"))
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect()
}

fn report(flux: &Container) -> Value {
    let text = docker(&["exec", &flux.0, "/fluxheim-init", "--posture", "--running", "--format", "json"]);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error} in {text}"))
}

fn result<'a>(report: &'a Value, control: &str) -> &'a str {
    let controls = report["controls"].as_array().unwrap();
    let found = controls.iter().find(|entry| entry["control"] == control);
    found.unwrap_or_else(|| panic!("no {control} in {report}"))["result"].as_str().unwrap()
}

fn healthy(flux: &Container) {
    wait(|| (flux.inspect("{{.State.Health.Status}}") == "healthy").then_some(())).unwrap_or_else(|| {
        panic!("not healthy: {}\n{}", flux.inspect("{{json .State.Health}}"), flux.logs())
    });
}

#[test]
fn serves_the_default_page_with_no_arguments_and_is_healthy() {
    let flux = Container::run(&[]);
    healthy(&flux);
    let url = format!("http://{}:8080/", flux.address());
    let output = crate::docker::run("curl", "curl", &["-sSf", &url]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).contains("Fluxheim"));
    docker(&["exec", &flux.0, "/fluxheim-init", "--health", "--ready"]);
    docker(&["stop", "-t", "10", &flux.0]);
    assert_eq!(flux.exit_code(), 0, "{}", flux.logs());
}

#[test]
fn agrees_with_what_the_host_sees() {
    for options in [
        &[][..],
        &["--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"],
        &["--user", "1234:1234"],
    ] {
        let flux = Container::run(options);
        healthy(&flux);
        let (report, proxy) = (report(&flux), status(flux.proxy_pid()));
        assert_eq!(report["verdict"], "ok", "{report}");
        process_is_confined(&report, &proxy);
        limits_hold(&report, flux.proxy_pid());
        identity_is_reported(&report, &proxy);
        let init = status(flux.init_pid());
        assert_eq!(init["Umask"], "0077");
        assert_eq!((init["NoNewPrivs"].as_str(), init["CapEff"].as_str()), ("1", "0000000000000000"));
    }
}

fn process_is_confined(report: &Value, proxy: &BTreeMap<String, String>) {
    assert_eq!(proxy["NoNewPrivs"], "1");
    assert!(matches!(result(report, "no_new_privs"), "enforced" | "inherited"));
    for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        assert_eq!(proxy[set], "0000000000000000", "{set}");
    }
    assert!(matches!(result(report, "capabilities"), "enforced" | "inherited"));
    assert_eq!(proxy["Umask"], "0077");
    assert!(matches!(result(report, "umask"), "enforced" | "inherited"));
    let locked = proxy["VmLck"] != "0 kB";
    assert_eq!(matches!(result(report, "memory_lock"), "enforced"), locked, "VmLck {}", proxy["VmLck"]);
}

fn limits_hold(report: &Value, pid: u32) {
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    let values: Vec<&str> = core["Max core file size".len()..].split_whitespace().take(2).collect();
    assert!(values == ["0", "0"] || values == ["1", "1"], "{core}");
    assert_eq!(result(report, "core_dumps"), "enforced");
    let filter = std::fs::read_to_string(format!("/proc/{pid}/coredump_filter")).unwrap();
    assert_eq!(filter.trim().trim_start_matches('0'), "", "{filter}");
    assert_eq!(result(report, "coredump_filter"), "enforced");
    // The files of a process that can't be dumped belong to root, whoever runs it (proc(5)).
    use std::os::unix::fs::MetadataExt;
    assert_eq!(std::fs::metadata(format!("/proc/{pid}/status")).unwrap().uid(), 0);
    assert_eq!(result(report, "dumpable"), "enforced");
    let open: Vec<_> = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().collect();
    assert!(open.len() > 3);
    assert_eq!(result(report, "fds"), "enforced");
}

fn identity_is_reported(report: &Value, proxy: &BTreeMap<String, String>) {
    let uid = proxy["Uid"].split_whitespace().next().unwrap().parse::<u64>().unwrap();
    assert_eq!(report["identity"]["uid"], uid);
    assert_ne!(uid, 0);
}
