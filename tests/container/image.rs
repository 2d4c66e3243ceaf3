//! What is in the image, and that making it twice gives the same one.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::docker::{image_folder, run};

fn manifest() -> serde_json::Value {
    let oci = image_folder().join("oci");
    let digest = std::fs::read_to_string(image_folder().join("digest")).expect("run scripts/build-image");
    let blob = oci.join("blobs").join(digest.trim().replace(':', "/"));
    serde_json::from_slice(&std::fs::read(blob).unwrap()).unwrap()
}

/// `tar -tv` of every layer.
fn listing() -> Vec<String> {
    let oci = image_folder().join("oci/blobs");
    let manifest = manifest();
    let layers = manifest["layers"].as_array().unwrap();
    let list = |layer: &serde_json::Value| {
        let blob = oci.join(layer["digest"].as_str().unwrap().replace(':', "/"));
        let output = run("tar", "tar", &["--numeric-owner", "-tvzf", blob.to_str().unwrap()]);
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect::<Vec<_>>()
    };
    layers.iter().flat_map(list).collect()
}

#[test]
fn holds_no_setuid_no_writable_file_and_no_shell() {
    let entries = listing();
    assert!(entries.len() > 5, "{entries:#?}");
    for entry in &entries {
        let mode = entry.split_whitespace().next().unwrap();
        assert!(!mode.contains(['s', 'S', 't', 'T']), "{entry}");
        assert!(!mode.starts_with('-') || !mode.contains('w'), "a writable file: {entry}");
        assert!(mode.starts_with(['-', 'd']), "neither file nor folder: {entry}");
        assert!(mode.get(8..9).is_none_or(|other| other != "w"), "writable by others: {entry}");
    }
    for shell in ["/sh", "/bash", "/busybox", "/apt", "/dpkg", "ld-linux"] {
        assert!(!entries.iter().any(|entry| entry.ends_with(shell) || entry.contains("ld-linux")), "{shell}");
    }
    for program in ["fluxheim", "fluxheim-init"] {
        let entry = entries
            .iter()
            .find(|entry| entry.ends_with(&format!(" {program}")))
            .unwrap_or_else(|| panic!("{program} in {entries:#?}"));
        assert!(entry.starts_with("---x--x--x 0/0 "), "{entry}");
    }
}

#[test]
fn is_under_30_mebibytes() {
    let manifest = manifest();
    let size: u64 =
        manifest["layers"].as_array().unwrap().iter().map(|layer| layer["size"].as_u64().unwrap()).sum();
    let unpacked = std::fs::metadata(image_folder().join("fluxheim.tar")).unwrap().len();
    assert!(size < 30 << 20 && unpacked < 30 << 20, "{size} bytes of layers, {unpacked} of tar");
}

/// Where `scripts/build-binaries` leaves what the image holds.
fn programs(root: &Path) -> PathBuf {
    root.join(format!("target/{}-unknown-linux-gnu/release", std::env::consts::ARCH))
}

#[test]
fn assembles_to_the_same_digest_every_time_and_everywhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let digests = [("UTC", "C", "022"), ("Asia/Tokyo", "C.UTF-8", "077")].map(|(zone, locale, umask)| {
        let dir = tempfile::TempDir::new().unwrap();
        let assemble = format!("umask {umask}; exec \"$0\" --binaries \"$1\" --out \"$2\"");
        let output = Command::new("bash")
            .args(["-c".as_ref(), assemble.as_ref(), root.join("scripts/assemble-image").as_os_str()])
            .args([programs(root).as_os_str(), dir.path().as_os_str()])
            .envs([("TZ", zone), ("LC_ALL", locale), ("SOURCE_DATE_EPOCH", "1"), ("FLUXHEIM_COMMIT", "x")])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        std::fs::read_to_string(dir.path().join("digest")).unwrap()
    });
    assert_eq!(digests[0], digests[1]);
}
