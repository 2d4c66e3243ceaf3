//! What the image says of its own hardening, held against what the host sees.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::docker::{Container, docker, mounted_config, run, volume, wait};

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
    let output = run("curl", "curl", &["-sSf", &url]);
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

/// As the image's own configuration, with metrics and a control that is off.
const WITH_METRICS: &str = r#"
[server]
http = ["0.0.0.0:8080"]
[metrics]
listen = ["0.0.0.0:9090"]
[hardening]
umask = "off"
[[vhosts]]
hosts = ["*"]
[[vhosts.routes]]
path = "/"
static = "/srv/fluxheim"
"#;

#[test]
fn metrics_show_what_the_report_says() {
    let dir = mounted_config(WITH_METRICS, &[]);
    // The second has what the runtime gave shown as inherited.
    for options in [&[][..], &["--cap-drop", "ALL", "--security-opt", "no-new-privileges"]] {
        let flux = Container::run(&[&["-v", &volume(&dir)], options].concat());
        healthy(&flux);
        let (report, metrics) = (report(&flux), scrape(&flux));
        let mut expected: Vec<String> = report["controls"].as_array().unwrap().iter().map(sample).collect();
        let off_swap = &report["outcomes"]["secrets_off_swap"]["result"];
        expected.push(format!("fluxheim_secrets_off_swap{{result={off_swap}}} 1"));
        expected.sort();
        assert!(expected.len() > 5, "{report}");
        let off = "fluxheim_control{name=\"umask\",level=\"off\",result=\"not_applicable\"} 1";
        assert!(expected.iter().any(|line| line == off), "{report}");
        let posture = ["fluxheim_control{", "fluxheim_secrets_off_swap{"];
        let ours = |line: &&str| posture.iter().any(|family| line.starts_with(family));
        let mut shown: Vec<_> = metrics.lines().filter(ours).map(str::to_owned).collect();
        shown.sort();
        assert_eq!(shown, expected, "{metrics}");
    }
}

/// The line of a control in /metrics; the quotes of JSON are those of OpenMetrics here.
fn sample(entry: &Value) -> String {
    let [name, level, result] = ["control", "level", "result"].map(|field| &entry[field]);
    format!("fluxheim_control{{name={name},level={level},result={result}}} 1")
}

fn scrape(flux: &Container) -> String {
    let output = run("curl", "curl", &["-sSf", &format!("http://{}:9090/metrics", flux.address())]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
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
