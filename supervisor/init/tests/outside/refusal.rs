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
