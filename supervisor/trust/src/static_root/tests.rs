//! Static files: what is served, and that nothing leads out.

use std::io::Read;
use std::os::fd::AsFd;

use nix::sys::stat::SFlag;

use super::{ENTRY, LOOK, StaticEntry, StaticError, StaticRoot, open_step_by_step, read_cached, refusal};
use crate::testing::{Scratch, US, task};

fn site() -> (Scratch, StaticRoot) {
    let scratch = Scratch::new();
    scratch.folder("site/sub", 0, 0o755);
    scratch.file("site/index.html", b"INDEX", 0, 0o644);
    scratch.file("site/sub/a.css", b"CSS", 0, 0o644);
    scratch.file("outside", b"OUTSIDE", 0, 0o644);
    let root = StaticRoot::at(scratch.path("site")).unwrap();
    (scratch, root)
}

fn text(root: &StaticRoot, name: &str) -> String {
    match root.open(name) {
        Ok(StaticEntry::File { mut file, len, .. }) => {
            let mut text = String::new();
            file.read_to_string(&mut text).unwrap();
            assert_eq!(text.len() as u64, len);
            text
        }
        other => format!("{other:?}"),
    }
}

#[test]
fn opens_files_and_folders_below_the_root() {
    let (_scratch, root) = site();
    assert_eq!(text(&root, "index.html"), "INDEX");
    assert_eq!(text(&root, "sub/a.css"), "CSS");
    assert_eq!(text(&root, "sub/../index.html"), "INDEX");
    for name in ["", ".", "sub", "sub/"] {
        assert!(matches!(root.open(name), Ok(StaticEntry::Directory)), "{name}");
    }
}

#[test]
fn leads_nowhere_outside() {
    let (scratch, root) = site();
    scratch.link("site/up", "../outside");
    scratch.link("site/absolute", scratch.path("outside"));
    scratch.link("site/inside-but-absolute", scratch.path("site/index.html"));
    scratch.link("site/magic", "/proc/self/cwd");
    scratch.link("site/loop", "loop");
    for name in [
        "../outside",
        "sub/../../outside",
        "/etc/passwd",
        "up",
        "absolute",
        "inside-but-absolute",
        "magic",
        "loop",
        "..",
        "none",
        "index.html/",
        "index.html/x",
        "a\0b",
    ] {
        assert!(matches!(root.open(name), Err(StaticError::NotFound)), "{name}: {:?}", root.open(name));
    }
    assert!(matches!(root.open(&"x".repeat(5000)), Err(StaticError::NotFound)));
}

#[test]
fn follows_links_that_stay_inside() {
    let (scratch, root) = site();
    scratch.link("site/home", "index.html");
    scratch.link("site/sub/back", "../index.html");
    assert_eq!(text(&root, "home"), "INDEX");
    assert_eq!(text(&root, "sub/back"), "INDEX");
}

#[test]
fn serves_neither_fifo_nor_socket_nor_device_and_does_not_wait() {
    let (scratch, root) = site();
    scratch.node("site/fifo", SFlag::S_IFIFO, 0);
    scratch.node("site/null", SFlag::S_IFCHR, nix::sys::stat::makedev(1, 3));
    scratch.node("site/nothing", SFlag::S_IFCHR, nix::sys::stat::makedev(4000, 3));
    let _socket = std::os::unix::net::UnixListener::bind(scratch.path("site/socket")).unwrap();
    for name in ["fifo", "null", "nothing", "socket"] {
        assert!(matches!(root.open(name), Err(StaticError::NotFound)), "{name}: {:?}", root.open(name));
    }
}

#[test]
fn keeps_the_folder_that_was_opened() {
    let (scratch, root) = site();
    std::fs::rename(scratch.path("site"), scratch.path("old")).unwrap();
    assert_eq!(text(&root, "index.html"), "INDEX");
}

#[test]
fn refuses_roots_that_are_no_folder() {
    let (scratch, _root) = site();
    for name in ["none", "outside"] {
        let text = StaticRoot::at(scratch.path(name)).unwrap_err().to_string();
        assert!(text.contains(name) && text.contains("must be a folder"), "{text}");
    }
}

#[test]
fn forbids_what_the_process_may_not_read() {
    if let Some(path) = task() {
        let root = StaticRoot::at(&path).unwrap();
        assert!(matches!(root.open("closed.html"), Err(StaticError::Forbidden)));
        assert_eq!(text(&root, "index.html"), "INDEX");
        assert!(StaticRoot::at(path.with_file_name("closed")).is_err());
        return;
    }
    let (scratch, _root) = site();
    scratch.file("site/closed.html", b"", 0, 0o600);
    scratch.folder("closed", 0, 0o700);
    let output =
        scratch.as_us("static_root::tests::forbids_what_the_process_may_not_read", &scratch.path("site"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"));
}

#[test]
fn is_stricter_and_not_laxer_without_openat2() {
    let (scratch, root) = site();
    scratch.link("site/home", "index.html");
    scratch.link("site/up", "..");
    scratch.file("site/ours", b"", US, 0o644);
    let open = |name: &str| open_step_by_step(root.fd.as_fd(), name, ENTRY);
    for name in ["index.html", "sub/a.css", ".", "sub", "sub/", "./sub/./a.css"] {
        assert!(open(name).is_ok(), "{name}");
    }
    for name in
        ["home", "up", "up/outside", "..", "../outside", "sub/../..", "/etc/passwd", "none", "index.html/"]
    {
        let errno = open(name).unwrap_err();
        assert!(matches!(refusal(errno), StaticError::NotFound), "{name}: {errno}");
    }
}

#[test]
fn lists_what_it_would_open_and_nothing_else() {
    let (scratch, root) = site();
    scratch.link("site/home", "index.html");
    scratch.link("site/up", "../outside");
    scratch.link("site/dangling", "nothing");
    scratch.node("site/fifo", SFlag::S_IFIFO, 0);
    let mut entries = root.list("", 100).unwrap().entries;
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    let seen: Vec<_> = entries.iter().map(|entry| (entry.name.as_str(), entry.folder)).collect();
    assert_eq!(seen, [("home", false), ("index.html", false), ("sub", true)]);
    assert_eq!(entries[1].len, 5);
    assert_eq!(root.list("sub/", 100).unwrap().entries[0].name, "a.css");
    assert!(matches!(root.list("index.html", 100), Err(StaticError::NotFound)));
    assert!(matches!(root.list("..", 100), Err(StaticError::NotFound)));
    let cut = root.list(".", 2).unwrap();
    assert_eq!((cut.entries.len(), cut.cut), (2, true));
    assert!(open_step_by_step(root.fd.as_fd(), "sub/a.css", LOOK).is_ok());
}

#[test]
fn reads_what_is_in_memory_at_once() {
    let (_scratch, root) = site();
    let Ok(StaticEntry::File { file, .. }) = root.open("index.html") else { panic!("no file") };
    let mut room = [0; 8];
    // Brings it into memory, where that is not so yet.
    std::os::unix::fs::FileExt::read_at(&file, &mut room, 0).unwrap();
    match read_cached(&file, &mut room, 1) {
        Ok(read) => assert_eq!(&room[..read], b"NDEX"),
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::Unsupported),
    }
    match read_cached(&file, &mut room, 5) {
        Ok(read) => assert_eq!(read, 0),
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::Unsupported),
    }
}

#[test]
fn can_be_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<StaticRoot>();
}
