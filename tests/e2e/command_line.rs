//! Flags, exit codes and messages.

use std::net::TcpListener;

use crate::support::{Flux, certificate, program, run, set_mode};

const SITE: &str = "[[vhosts]]\nhosts = [\"*\"]\n[[vhosts.routes]]\npath = \"/\"\nstatic = \"$DIR/site\"\n";

fn said(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn answers_help_and_version() {
    let help = program(&["--help"]);
    assert_eq!(help.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&help.stdout).contains("--check-tls-storage"));
    let version = String::from_utf8(program(&["--version"]).stdout).unwrap();
    assert!(version.starts_with(&format!("fluxheim {} (commit ", env!("CARGO_PKG_VERSION"))), "{version}");
}

#[test]
fn exits_64_on_a_wrong_command_line() {
    let output = program(&["--confg", "x"]);
    assert_eq!(output.status.code(), Some(64));
    assert!(said(&output).contains("--confg"), "{}", said(&output));
}

#[test]
fn checks_a_configuration_without_touching_the_files_it_names() {
    let flux = Flux::server(
        "https = [\"127.0.0.1:0\"]",
        &format!("{SITE}[[tls.certificates]]\nname = \"a\"\ncert = \"none.pem\"\nkey = \"none.key\"\n"),
    );
    let path = flux.write();
    let output = program(&["--check-config", "--config", path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let storage = program(&["--check-tls-storage", "--config", path.to_str().unwrap()]);
    assert_eq!(storage.status.code(), Some(78));
}

#[test]
fn lists_every_mistake_with_its_place() {
    let flux = Flux::with(
        "[srver]\n[[vhosts]]\nhosts = [\"*\"]\n[[vhosts.routes]]\npath = \"/\"\nupstrem = \"app\"\n",
    );
    let path = flux.write();
    let output = program(&["--check-config", "--config", path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(78));
    let said = said(&output);
    assert!(said.contains("fluxheim.toml:5:2: ") || said.contains("fluxheim.toml:5:"), "{said}");
    assert!(said.contains("srver") && said.contains("server"), "{said}");
    assert!(said.contains("fluxheim.toml:10:1: ") && said.contains("upstream"), "{said}");
}

#[test]
fn prints_a_configuration_that_it_reads_back_the_same() {
    let flux = Flux::with(SITE);
    let path = flux.write();
    let first = program(&["--print-config", "--config", path.to_str().unwrap()]);
    assert_eq!(first.status.code(), Some(0), "{}", said(&first));
    let again = flux.dir.path().join("again.toml");
    std::fs::write(&again, &first.stdout).unwrap();
    let second = program(&["--print-config", "--config", again.to_str().unwrap()]);
    assert_eq!(String::from_utf8(first.stdout).unwrap(), String::from_utf8(second.stdout).unwrap());
}

#[test]
fn reports_storage_as_text_and_json() {
    let flux = Flux::server(
        "https = [\"127.0.0.1:0\"]",
        &format!("{SITE}[[tls.certificates]]\nname = \"a\"\ncert = \"a.pem\"\nkey = \"a.key\"\n[hardening]\nidentity = \"off\"\n"),
    )
    .file("site/index.html", b"");
    // Root keeps its files, and itself: else they are judged for whom a start as root becomes.
    let (_, key) = certificate(flux.dir.path(), "a", &["a.test"]);
    let path = flux.write();
    let check = |format: &str| {
        program(&["--check-tls-storage", "--format", format, "--config", path.to_str().unwrap()])
    };
    let clean = check("text");
    assert_eq!(clean.status.code(), Some(0), "{}{}", String::from_utf8_lossy(&clean.stdout), said(&clean));
    set_mode(&key, 0o640);
    let refused = check("json");
    assert_eq!(refused.status.code(), Some(78));
    let report: serde_json::Value = serde_json::from_slice(&refused.stdout).unwrap();
    assert_eq!(report["schema"], 2);
    assert!(report.to_string().contains("chmod 0600"), "{report}");
}

#[test]
fn exits_75_when_the_address_is_taken() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = format!("http = [\"{}\"]", taken.local_addr().unwrap());
    let output = Flux::server(&server, SITE).file("site/index.html", b"").run_to_end();
    assert_eq!(output.status.code(), Some(75), "{}", said(&output));
    assert!(said(&output).contains("another program listens there"), "{}", said(&output));
}

#[test]
fn names_the_configuration_it_did_not_find() {
    let output = program(&["--config", "/no/such/place.toml"]);
    assert_eq!(output.status.code(), Some(78));
    assert!(said(&output).contains("/no/such/place.toml"), "{}", said(&output));
}

#[test]
fn prints_the_profile_named_on_the_command_line() {
    let flux = Flux::with(SITE);
    let output =
        program(&["--config", flux.write().to_str().unwrap(), "--profile", "strict", "--print-config"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("profile = \"strict\"\n# core_dumps = \"required\""), "{text}");
}

#[test]
fn completes_its_command_line_in_bash() {
    let script = program(&["completions", "bash"]);
    assert_eq!(script.status.code(), Some(0));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fluxheim.bash");
    std::fs::write(&path, &script.stdout).unwrap();
    let completed = |words: &str, at: usize| {
        let typed = format!(
            ". {}; COMP_WORDS=({words}); COMP_CWORD={at}; _fluxheim; echo \"${{COMPREPLY[@]}}\"",
            path.display()
        );
        String::from_utf8(run("bash", "bash", &["-c", &typed]).stdout).unwrap().trim().to_owned()
    };
    assert_eq!(completed("fluxheim --check-t", 1), "--check-tls-storage");
    assert_eq!(completed("fluxheim --profile k8", 2), "k8s-restricted");
    assert_eq!(completed("fluxheim ctl sta", 2), "status");
    assert_eq!(completed("fluxheim dns-hook --allow", 2), "--allow-uid");
    assert_eq!(completed("fluxheim completions f", 2), "fish");
    for shell in ["zsh", "fish"] {
        assert_eq!(program(&["completions", shell]).status.code(), Some(0), "{shell}");
    }
    let wrong = program(&["completions", "csh"]);
    assert_eq!(wrong.status.code(), Some(64));
    assert!(said(&wrong).contains("bash, zsh or fish"), "{}", said(&wrong));
}
