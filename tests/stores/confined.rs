//! The folder under the proxy's own confinement: what it may do there, and that it may nowhere else.

use std::path::{Path, PathBuf};
use std::process::Command;

use fluxheim::acme::store::{Expect, Key, Kind, Name, Store, StoreError};
use fluxheim_config::{Source, parse};
use fluxheim_posture::confine::Reach;
use fluxheim_posture::proxy::harden;

use crate::folder::{Shared, open};
use crate::suite::{TTL, run};

/// Everything that a store does, by a process that has done to itself what the proxy does.
#[test]
fn the_folder_can_be_kept_under_confinement_and_nothing_else_can_be_written() {
    if let Some(path) = std::env::var_os(TASK).map(PathBuf::from) {
        return keep(&path);
    }
    let shared = Shared::new();
    let state = shared.path().join("state");
    std::fs::create_dir(&state).unwrap();
    crate::fixtures::set_mode(&state, 0o700);
    // One that was there before, damaged; and what a writer left that was killed.
    run(async {
        let store = open(&state).unwrap();
        store.put(&Key::account("damaged"), b"x", Expect::Absent, None).await.unwrap();
    });
    std::fs::write(state.join("accounts/damaged"), "x").unwrap();
    std::fs::write(state.join("orders/.new-1-1"), "x").unwrap();
    crate::fixtures::set_mode(&state.join("orders/.new-1-1"), 0o600);
    let output = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "confined::the_folder_can_be_kept_under_confinement_and_nothing_else_can_be_written",
        ])
        .arg("--nocapture")
        .env(TASK, &state)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains(DONE), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(!state.join("orders/.new-1-1").exists());
    assert!(!shared.path().join("beside").exists());
}

fn keep(state: &Path) {
    // As the proxy has it; what is under test here is not the rest of hardening.
    let text = format!(
        "[server]\nhttp = [\"127.0.0.1:8080\"]\n[acme]\ndirectory = \"https://ca.example/dir\"\n\
         terms_of_service_agreed = true\nstorage = {{ path = {state:?} }}\n"
    );
    let path = state.with_file_name("fluxheim.toml");
    let config = parse(&[Source { path: path.clone(), text }]).unwrap_or_else(|error| panic!("{error}"));
    let report = harden(&config.hardening, true, &Reach::of(&config, &path));
    assert!(report.is_confined(), "{:?}: this kernel has no Landlock", report.landlock);
    run(async {
        let store = open(state).unwrap();
        let lease = store.try_lock(&Name::of("orders"), TTL).await.unwrap().unwrap();
        for key in Kind::ALL.map(|kind| Key { kind, name: Name::of("*.example.com") }) {
            let first = store.put(&key, b"one", Expect::Absent, Some(&lease)).await.unwrap();
            store.put(&key, b"two", Expect::Version(first), None).await.unwrap();
            assert_eq!(store.get(&key).await.unwrap().unwrap().value.as_bytes(), b"two");
            assert!(store.delete(&key, Expect::Anything, None).await.unwrap());
        }
        let damaged = store.get(&Key::account("damaged")).await;
        assert!(matches!(damaged, Err(StoreError::Corrupt { kept: Some(_), .. })), "{damaged:?}");
        assert!(store.list(Kind::Account).await.unwrap().is_empty());
    });
    // Of seccomp, where a plain open may not create; and of Landlock, wherever it is.
    assert!(std::fs::write(state.join("plain"), "x").is_err());
    assert!(std::fs::write(state.with_file_name("beside"), "x").is_err());
    // The folder of the configuration may be read, and is ours.
    let refused = open(state.parent().unwrap()).unwrap_err();
    assert!(
        matches!(&refused, StoreError::Unavailable(why) if why.contains("Permission denied")),
        "{refused}"
    );
    assert!(std::fs::rename(state.join("accounts"), state.with_file_name("moved")).is_err());
    assert!(std::os::unix::fs::symlink("/", state.join("link")).is_err());
    println!("\n{DONE}");
    // The harness' own end is not what the filter is made for.
    std::process::exit(0);
}

const TASK: &str = "FLUXHEIM_STORES_CONFINED";
const DONE: &str = "kept all, wrote nothing else";
