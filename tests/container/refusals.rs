//! Starts that must not happen.

use crate::docker::{Container, docker, image, mounted_config, set_mode, try_docker, volume};

const TLS: &str = r#"
[server]
https = ["0.0.0.0:8443"]
[[tls.certificates]]
name = "a"
cert = "tls/a.test.pem"
key = "tls/a.test.key"
[[vhosts]]
hosts = ["*"]
[[vhosts.routes]]
path = "/"
static = "/srv/fluxheim"
"#;

#[test]
fn never_listens_with_a_key_that_others_can_read() {
    let dir = mounted_config(TLS, &["a.test"]);
    set_mode(&dir.path().join("tls/a.test.key"), 0o644);
    let flux = Container::run(&["-v", &volume(&dir)]);
    assert_eq!(flux.exit_code(), 78);
    let logs = flux.logs();
    for part in ["/etc/fluxheim/tls/a.test.key", "0644", "chmod 0600 /etc/fluxheim/tls/a.test.key"] {
        assert!(logs.contains(part), "{part} not in:\n{logs}");
    }
    assert!(!logs.contains("listening"), "{logs}");
}

#[test]
fn checks_storage_as_an_init_container() {
    let dir = mounted_config(TLS, &["a.test"]);
    let check = |format: &str| {
        let volume = volume(&dir);
        try_docker(&[
            "run",
            "--rm",
            "-v",
            &volume,
            "--read-only",
            "--cap-drop",
            "ALL",
            &image(),
            "--check-tls-storage",
            "--format",
            format,
        ])
    };
    let clean = check("text");
    assert_eq!(
        clean.status.code(),
        Some(0),
        "{}{}",
        String::from_utf8_lossy(&clean.stdout),
        String::from_utf8_lossy(&clean.stderr)
    );
    set_mode(&dir.path().join("tls/a.test.key"), 0o640);
    let refused = check("json");
    assert_eq!(refused.status.code(), Some(78));
    let report: serde_json::Value = serde_json::from_slice(&refused.stdout).unwrap();
    assert!(report.to_string().contains("chmod 0600"), "{report}");
}

#[test]
fn refuses_a_required_control_that_the_runtime_does_not_give() {
    let dir = mounted_config(&format!("{TLS}[hardening]\nmemory_lock = \"required\"\n"), &["a.test"]);
    let flux = Container::run(&["-v", &volume(&dir), "--ulimit", "memlock=65536:65536"]);
    assert_eq!(flux.exit_code(), 78);
    let logs = flux.logs();
    assert!(logs.contains("memory_lock") && logs.contains("--ulimit memlock=-1"), "{logs}");
    assert!(!logs.contains("listening"), "{logs}");
}

#[test]
fn reports_every_mistake_of_a_mounted_configuration() {
    let dir = mounted_config("[srver]\n[limits]\nmax_body_size = 5\n", &[]);
    let flux = Container::run(&["-v", &volume(&dir)]);
    assert_eq!(flux.exit_code(), 78);
    let logs = flux.logs();
    assert!(
        logs.contains("/etc/fluxheim/fluxheim.toml:1:") && logs.contains("/etc/fluxheim/fluxheim.toml:3:"),
        "{logs}"
    );
}

#[test]
fn exits_64_on_an_unknown_flag() {
    let output = try_docker(&["run", "--rm", &image(), "--no-such-flag"]);
    assert_eq!(output.status.code(), Some(64));
    assert!(docker(&["run", "--rm", &image(), "--version"]).contains(env!("CARGO_PKG_VERSION")));
}
