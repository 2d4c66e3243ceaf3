//! Configurations as files, folders and links.

use nix::sys::stat::SFlag;

use crate::testing::{STRANGER, Scratch, US, root, task, us};
use crate::{ConfigUnreadable, read_config};

fn problems(error: &ConfigUnreadable) -> usize {
    error.problems.len()
}

#[test]
fn reads_a_file_of_root_or_of_the_service_user() {
    let scratch = Scratch::new();
    for (uid, mode) in [(0, 0o644), (US, 0o600)] {
        let path = scratch.file("fluxheim.toml", b"[server]\n", uid, mode);
        let sources = read_config(&path, &us()).unwrap();
        assert_eq!(sources.len(), 1);
        assert_eq!((&sources[0].path, sources[0].text.as_str()), (&path, "[server]\n"));
    }
    let empty = scratch.file("empty.toml", b"", 0, 0o644);
    assert_eq!(read_config(&empty, &us()).unwrap()[0].text, "");
}

#[test]
fn refuses_untrusted_writers() {
    let scratch = Scratch::new();
    for (uid, mode, code) in
        [(STRANGER, 0o644, "foreign-owner"), (0, 0o664, "writable-by-others"), (0, 0o600, "unreadable")]
    {
        let path = scratch.file("fluxheim.toml", b"", uid, mode);
        let text = read_config(&path, &us()).unwrap_err().to_string();
        assert!(text.contains(&format!("[{code}]")), "{text}");
    }
    scratch.file("fluxheim.toml", b"", 0, 0o644);
    scratch.mode(".", 0o777);
    let text = read_config(&scratch.path("fluxheim.toml"), &us()).unwrap_err().to_string();
    assert!(text.contains("[parent-writable]"), "{text}");
}

#[test]
fn reads_a_folder_in_byte_order_without_hidden_files() {
    let scratch = Scratch::new();
    scratch.folder("conf.d", 0, 0o755);
    for name in ["b.toml", "a.toml", "B.toml", "10.toml", "9.toml", ".hidden.toml", "notes.txt"] {
        scratch.file(&format!("conf.d/{name}"), name.as_bytes(), 0, 0o644);
    }
    let sources = read_config(&scratch.path("conf.d"), &us()).unwrap();
    let texts: Vec<_> = sources.iter().map(|source| source.text.as_str()).collect();
    assert_eq!(texts, ["10.toml", "9.toml", "B.toml", "a.toml", "b.toml"]);
    assert_eq!(sources[0].path, scratch.path("conf.d/10.toml"));
}

#[test]
fn lists_what_is_wrong_with_every_file_of_a_folder() {
    let scratch = Scratch::new();
    scratch.folder("conf.d", 0, 0o755);
    scratch.file("conf.d/a.toml", b"", STRANGER, 0o644);
    scratch.file("conf.d/b.toml", b"abc\xff", 0, 0o644);
    scratch.file("conf.d/c.toml", b"", 0, 0o644);
    scratch.node("conf.d/d.toml", SFlag::S_IFIFO, 0);
    let error = read_config(&scratch.path("conf.d"), &us()).unwrap_err();
    assert_eq!(problems(&error), 3);
    let text = error.to_string();
    assert!(
        text.contains("[foreign-owner]") && text.contains("byte 3") && text.contains("[not-a-file]"),
        "{text}"
    );
}

#[test]
fn refuses_a_folder_that_others_can_add_to_even_if_sticky() {
    let scratch = Scratch::new();
    scratch.folder("conf.d", 0, 0o1777);
    scratch.file("conf.d/a.toml", b"", 0, 0o644);
    let text = read_config(&scratch.path("conf.d"), &us()).unwrap_err().to_string();
    assert!(text.contains("[parent-writable]"), "{text}");
}

#[test]
fn refuses_empty_and_overfull_folders_and_oversized_files() {
    let scratch = Scratch::new();
    scratch.folder("conf.d", 0, 0o755);
    let text = read_config(&scratch.path("conf.d"), &us()).unwrap_err().to_string();
    assert!(text.contains("no file named *.toml"), "{text}");
    scratch.file("conf.d/000.toml", b"", 0, 0o644);
    scratch.grow("conf.d/000.toml", (1 << 20) + 1);
    let text = read_config(&scratch.path("conf.d"), &us()).unwrap_err().to_string();
    assert!(text.contains("[too-large]"), "{text}");
    for number in 1..=256 {
        scratch.file(&format!("conf.d/{number:03}.toml"), b"", 0, 0o644);
    }
    let text = read_config(&scratch.path("conf.d"), &us()).unwrap_err().to_string();
    assert!(text.contains("257 files"), "{text}");
}

#[test]
fn says_where_it_looked_for_a_missing_file() {
    let text = read_config("no-such.toml".as_ref(), &root()).unwrap_err().to_string();
    let place = std::env::current_dir().unwrap().join("no-such.toml");
    assert!(text.contains(place.to_str().unwrap()) && text.contains("[missing]"), "{text}");
}

#[test]
fn reads_relative_paths_and_the_working_directory_itself() {
    if task().is_some() {
        std::env::set_current_dir(task().unwrap()).unwrap();
        for path in ["a.toml", "./a.toml", ".", "../conf.d", ""] {
            let sources = read_config(path.as_ref(), &us()).unwrap();
            assert_eq!(sources[0].text, "A", "{path}");
        }
        return;
    }
    let scratch = Scratch::new();
    scratch.folder("conf.d", 0, 0o755);
    scratch.file("conf.d/a.toml", b"A", 0, 0o644);
    let name = "config_files::tests::reads_relative_paths_and_the_working_directory_itself";
    let output = scratch.as_us(name, &scratch.path("conf.d"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"));
}

/// As the kubelet lays out a ConfigMap, but on a mount that can be written to.
fn config_map(scratch: &Scratch, mode: u32) {
    scratch.folder("volume", 0, mode);
    scratch.folder("volume/..2026_01_01", 0, 0o755);
    scratch.file("volume/..2026_01_01/fluxheim.toml", b"MAP", 0, 0o644);
    scratch.link("volume/..data", "..2026_01_01");
    scratch.link("volume/fluxheim.toml", "..data/fluxheim.toml");
}

#[test]
fn follows_the_links_of_a_config_map() {
    let scratch = Scratch::new();
    config_map(&scratch, 0o755);
    for path in ["volume/fluxheim.toml", "volume"] {
        assert_eq!(read_config(&scratch.path(path), &us()).unwrap()[0].text, "MAP", "{path}");
    }
}

#[test]
fn refuses_links_that_others_can_redirect() {
    let scratch = Scratch::new();
    config_map(&scratch, 0o777);
    let text = read_config(&scratch.path("volume/fluxheim.toml"), &us()).unwrap_err().to_string();
    assert!(text.contains("[parent-writable]"), "{text}");
}

#[test]
fn accepts_a_world_writable_folder_on_a_read_only_mount() {
    let scratch = Scratch::new();
    config_map(&scratch, 0o777);
    let folder = scratch.path("volume");
    // A mount namespace of its own, so that nothing is left behind and nobody else sees it.
    let script = "mount --make-rprivate / && mount --bind \"$1\" \"$1\" && mount -o remount,bind,ro \"$1\" && exec \"$2\" --exact \"$3\" --nocapture";
    if let Some(path) = task() {
        for path in [path.join("fluxheim.toml"), path] {
            assert_eq!(read_config(&path, &us()).unwrap()[0].text, "MAP");
        }
        return;
    }
    let output = std::process::Command::new("unshare")
        .args(["--mount", "sh", "-c", script, "sh"])
        .arg(&folder)
        .arg(std::env::current_exe().unwrap())
        .arg("config_files::tests::accepts_a_world_writable_folder_on_a_read_only_mount")
        .env("FLUXHEIM_TRUST_TEST_TASK", &folder)
        .output()
        .expect("unshare is missing: apt-get install util-linux");
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "needs CAP_SYS_ADMIN: {text}");
}
