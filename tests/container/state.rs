//! The folder that ACME keeps its state in: a volume of the service user's, and nothing else can be written.

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;

use tempfile::TempDir;

use crate::cell::{evidence, report};
use crate::docker::{Container, USER, mounted_config, set_mode, volume, wait};

/// The CA is nowhere: what is looked at here does not need it.
const CONFIG: &str = r#"
[server]
http = ["0.0.0.0:8080"]
https = ["0.0.0.0:8443"]
[hardening]
profile = "k8s-restricted"
[acme]
directory = "https://127.0.0.1:1/directory"
terms_of_service_agreed = true
[[vhosts]]
hosts = ["a.test"]
certificate = "acme"
routes = [{ path = "/", static = "/srv/fluxheim" }]
"#;

/// A pod with a volume for state, as the host has it.
fn start(config: &TempDir, state: &Path) -> Container {
    let state = format!("{}:/var/lib/fluxheim", state.display());
    let config = volume(config);
    let restricted =
        ["--user", "65532:65532", "--cap-drop", "ALL", "--read-only", "--security-opt=no-new-privileges"];
    Container::run(&[&restricted[..], &["-v", &config, "-v", &state]].concat())
}

fn state(mode: u32) -> TempDir {
    let folder = TempDir::new().unwrap();
    chown(folder.path(), Some(USER), Some(USER)).unwrap();
    set_mode(folder.path(), mode);
    folder
}

#[test]
fn state_is_kept_on_a_volume_while_the_root_is_read_only() {
    let (config, state) = (mounted_config(CONFIG, &[]), state(0o700));
    let flux = start(&config, state.path());
    flux.wait_for("listening");
    for name in ["accounts", "certificates", "orders", "challenges", "schedules", "locks"] {
        let made = wait(|| std::fs::metadata(state.path().join(name)).ok());
        let made = made.unwrap_or_else(|| panic!("no {name}: {}", flux.logs()));
        assert_eq!((made.permissions().mode() & 0o7777, made.uid()), (0o700, USER), "{name}");
    }
    let lock = std::fs::metadata(state.path().join(".lock")).unwrap();
    assert_eq!((lock.permissions().mode() & 0o7777, lock.uid()), (0o600, USER));
    let seen = report(&flux);
    let landlock = evidence(&seen, "landlock");
    assert!(landlock.contains("may write below /var/lib/fluxheim"), "{landlock}");
    // Killed with everything open, it starts again on the same volume.
    drop(flux);
    start(&config, state.path()).wait_for("listening");
}

#[test]
fn without_a_volume_the_option_that_mounts_one_is_named() {
    let config = mounted_config(CONFIG, &[]);
    let flux = Container::run(&["--read-only", "--cap-drop", "ALL", "-v", &volume(&config)]);
    assert_eq!(flux.exit_code(), 78);
    assert!(flux.logs().contains("--volume NAME:/var/lib/fluxheim"), "{}", flux.logs());
}

#[test]
fn a_volume_that_others_can_enter_is_refused_with_the_line_that_mends_it() {
    let (config, state) = (mounted_config(CONFIG, &[]), state(0o755));
    let flux = start(&config, state.path());
    assert_eq!(flux.exit_code(), 78);
    for part in ["chmod 0700 /var/lib/fluxheim", "--volume"] {
        assert!(flux.logs().contains(part), "{}", flux.logs());
    }
    assert_eq!(std::fs::read_dir(state.path()).unwrap().count(), 0, "nothing was written");
}
