//! What the image says of its own hardening and health, over every way it is asked.

use serde_json::Value;

use crate::cell::report;
use crate::docker::{Container, docker, mounted_config, run, volume, wait};

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
        flux.wait_for("\"ready\"");
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
