use crate::scene::{INIT, Running, Scene};

#[test]
fn a_required_control_that_does_not_hold_refuses_before_the_go() {
    let scene = Scene::new("[hardening]\nmemory_lock = \"required\"\n");
    let mut command = scene.command("sh", "serve");
    // A finite limit, whatever the machine's own is.
    command.args(["-c", "ulimit -l 64 && exec \"$0\" \"$@\"", INIT]).args(scene.arguments());
    let (code, text) = Running::of(command).end();
    assert_eq!(code, 78, "{text}");
    assert!(text.contains("FAIL  memory_lock"), "{text}");
    assert!(text.contains("mend under Docker: --ulimit memlock=-1:-1"), "{text}");
    assert!(text.trim_end().ends_with("verdict: refused: memory_lock"), "{text}");
    assert!(scene.has("executed") && !scene.has("started"));
}

pub(crate) fn with_key(mode: u32) -> Scene {
    with_key_and(mode, "")
}

/// The same with more of a configuration.
pub(crate) fn with_key_and(mode: u32, more: &str) -> Scene {
    let certificate = "https = [\"127.0.0.1:8443\"]\n[[tls.certificates]]\nname = \"a\"\ncert = \"a.pem\"\nkey = \"a.key\"\n";
    let scene = Scene::new(&format!("{certificate}{more}"));
    scene.write("a.pem", "not read by init", 0o644);
    scene.write("a.key", "not read by init", mode);
    scene
}

#[test]
fn a_key_others_can_read_refuses_and_the_proxy_is_never_executed() {
    let scene = with_key(0o644);
    let (code, text) = scene.start("exit=0").end();
    assert_eq!(code, 78);
    assert!(text.contains("a.key") && text.contains("refused: storage"), "{text}");
    assert!(!scene.has("executed"));
}

#[test]
fn a_key_of_ours_alone_is_fine() {
    let scene = with_key(0o600);
    let (code, text) = scene.start("exit=0").end();
    assert_eq!(code, 0, "{text}");
    assert!(scene.has("executed"));
}

#[test]
fn the_storage_check_alone_says_the_same_in_text_and_json() {
    for (mode, code) in [(0o644, 78), (0o600, 0)] {
        let scene = with_key(mode);
        // The check alone looks at what certificates and keys are.
        crate::fixtures::certificate(&scene.path(""), "a", &["a.test"]);
        crate::fixtures::set_mode(&scene.path("a.key"), mode);
        let text = scene.call(&["--check-tls-storage"]);
        assert_eq!(text.status.code(), Some(code), "{}", String::from_utf8_lossy(&text.stdout));
        assert!(String::from_utf8_lossy(&text.stdout).contains("a.key"));
        let json = scene.call(&["--check-tls-storage", "--format", "json"]);
        assert_eq!(json.status.code(), Some(code));
        let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
        assert_eq!(json["clean"], code == 0);
    }
}

#[test]
fn secrets_that_only_the_proxy_has_seen_are_judged_too() {
    let (code, said) = Scene::new("").start("more-secrets").end();
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("off swap"), "{said}");
    assert!(!said.contains("no secrets configured"), "{said}");
}

/// What the check says of a key on a mount that a program answers for, which says of its second
/// extended attribute that there is one: system.nfs4_acl, as NFSv4 has it.
#[test]
fn an_acl_that_is_the_filesystems_own_is_named_and_never_fine() {
    let scene = with_key(0o600);
    let (served, mounted) = (scene.path("served"), scene.path("mounted"));
    std::fs::create_dir(&served).unwrap();
    std::fs::create_dir(&mounted).unwrap();
    std::fs::copy(scene.path("a.key"), served.join("token")).unwrap();
    crate::fixtures::set_mode(&served.join("token"), 0o600);
    let server = std::process::Command::new("bindfs").arg("-f").arg(&served).arg(&mounted).spawn();
    let mut server = server.expect("bindfs is missing: apt-get install bindfs");
    let token = mounted.join("token");
    crate::scene::until("the mount", || token.exists());
    let output = std::process::Command::new("strace")
        .args(["-f", "-P", token.to_str().unwrap(), "-e", "trace=fgetxattr"])
        .args(["-e", "inject=fgetxattr:retval=20:when=2", "-o", scene.path("trace").to_str().unwrap()])
        .arg(env!("CARGO_BIN_EXE_fluxheim-init"))
        .args(["--check-tls-storage", "--also", &format!("cache-key={}", token.display()), "--config"])
        .arg(scene.path("fluxheim.toml"))
        .output();
    let output = output.expect("strace is missing: apt-get install strace");
    let trace = std::fs::read_to_string(scene.path("trace")).unwrap();
    let _ = std::process::Command::new("umount").arg("-l").arg(&mounted).status();
    server.kill().unwrap();
    server.wait().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(trace.contains("system.nfs4_acl"), "{trace}\n{said}");
    assert!(said.contains("an ACL of its own kind, system.nfs4_acl, which is not decoded"), "{said}");
    assert!(said.contains("unknown [advisory-modes]"), "{said}");
    assert_eq!(output.status.code(), Some(78), "{said}");
}

#[test]
fn the_storage_check_ends_on_term_while_a_mount_does_not_answer() {
    let scene = with_key(0o600);
    let (served, dead) = (scene.path("served"), scene.path("dead"));
    std::fs::create_dir(&served).unwrap();
    std::fs::create_dir(&dead).unwrap();
    std::fs::copy(scene.path("fluxheim.toml"), served.join("fluxheim.toml")).unwrap();
    let server = std::process::Command::new("bindfs").arg("-f").arg(&served).arg(&dead).spawn();
    let mut server = server.expect("bindfs is missing: apt-get install bindfs");
    let pid = nix::unistd::Pid::from_raw(server.id().cast_signed());
    crate::scene::until("the mount", || dead.join("fluxheim.toml").exists());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGSTOP).unwrap();
    let mut check = std::process::Command::new(env!("CARGO_BIN_EXE_fluxheim-init"))
        .args(["--check-tls-storage", "--config"])
        .arg(dead.join("fluxheim.toml"))
        .spawn()
        .unwrap();
    std::thread::sleep(std::time::Duration::from_millis(500));
    let of_check = nix::unistd::Pid::from_raw(check.id().cast_signed());
    nix::sys::signal::kill(of_check, nix::sys::signal::Signal::SIGTERM).unwrap();
    let started = std::time::Instant::now();
    let code = check.wait().unwrap().code();
    let took = started.elapsed();
    server.kill().unwrap();
    server.wait().unwrap();
    let _ = std::process::Command::new("umount").arg("-l").arg(&dead).status();
    assert_eq!(code, Some(143));
    assert!(took < std::time::Duration::from_secs(5), "{took:?}");
}
