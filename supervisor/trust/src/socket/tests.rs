//! Real sockets: left behind, alive, in the way, made at once by many.

use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::sync::Barrier;

use super::*;
use crate::testing::{STRANGER, Scratch};

fn us() -> Terms {
    Terms::strict(Identity::current())
}

fn listen_at(path: &Path) -> Result<(OwnSocket, UnixListener), SocketError> {
    OwnSocket::listen("admin.socket", path, &us())
}

fn run(scratch: &Scratch) -> PathBuf {
    scratch.folder("run", 0, 0o700);
    scratch.path("run/s")
}

#[test]
fn lets_nobody_else_in_and_takes_its_name_away() {
    let scratch = Scratch::new();
    let path = run(&scratch);
    let (own, _listener) = listen_at(&path).unwrap();
    let seen = std::fs::symlink_metadata(&path).unwrap();
    assert!(seen.file_type().is_socket());
    assert_eq!((seen.permissions().mode() & 0o7777, own.path()), (0o600, path.as_path()));
    UnixStream::connect(&path).unwrap();
    drop(own);
    assert!(!path.exists());
}

#[test]
fn replaces_what_a_dead_process_left_and_refuses_what_a_live_one_has() {
    let scratch = Scratch::new();
    let path = run(&scratch);
    let (own, listener) = listen_at(&path).unwrap();
    let error = listen_at(&path).unwrap_err();
    assert!(matches!(error, SocketError::InUse { .. }) && error.may_heal(), "{error}");
    // As after a kill: the name stays, and nobody listens.
    std::mem::forget(own);
    drop(listener);
    assert!(UnixStream::connect(&path).is_err());
    let (_own, _listener) = listen_at(&path).unwrap();
    UnixStream::connect(&path).unwrap();
}

#[test]
fn a_full_backlog_is_a_sign_of_life() {
    let scratch = Scratch::new();
    let path = run(&scratch);
    let socket = new_socket().unwrap();
    bind(socket.as_raw_fd(), &UnixAddr::new(&path).unwrap()).unwrap();
    listen(&socket, Backlog::new(1).unwrap()).unwrap();
    let _waiting: Vec<_> = (0..4)
        .map(|_| {
            let one = new_socket().unwrap();
            let _ = connect(one.as_raw_fd(), &UnixAddr::new(&path).unwrap());
            one
        })
        .collect();
    assert!(matches!(listen_at(&path), Err(SocketError::InUse { .. })));
}

#[test]
fn takes_away_nothing_that_is_not_its_own() {
    let scratch = Scratch::new();
    let path = run(&scratch);
    let (own, _listener) = listen_at(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let (successor, _other) = listen_at(&path).unwrap();
    drop(own);
    assert!(path.exists());
    drop(successor);
    for made in ["run/file", "run/folder", "run/link"] {
        match made {
            "run/file" => drop(scratch.file(made, b"x", 0, 0o600)),
            "run/folder" => drop(scratch.folder(made, 0, 0o700)),
            _ => drop(scratch.link(made, "nowhere")),
        }
        let error = listen_at(&scratch.path(made)).unwrap_err();
        assert!(matches!(error, SocketError::Foreign { .. }) && !error.may_heal(), "{error}");
        assert!(std::fs::symlink_metadata(scratch.path(made)).is_ok(), "{made}");
    }
    let (theirs, listener) = listen_at(&path).unwrap();
    scratch.own("run/s", STRANGER);
    std::mem::forget(theirs);
    drop(listener);
    assert!(matches!(listen_at(&path), Err(SocketError::Foreign { .. })));
}

#[test]
fn refuses_folders_in_which_others_could_exchange_it() {
    let scratch = Scratch::new();
    for (name, uid, mode) in [("open", 0, 0o777), ("group", 0, 0o770), ("theirs", STRANGER, 0o700)] {
        scratch.folder(name, uid, mode);
        let path = scratch.path(name).join("s");
        let error = listen_at(&path).unwrap_err();
        assert!(matches!(&error, SocketError::Refused(_)), "{error}");
        assert!(error.to_string().starts_with("socket folder of admin.socket: "), "{error}");
        assert!(!path.exists(), "{name}");
    }
    assert!(matches!(listen_at(&scratch.path("none/s")), Err(SocketError::Refused(_))));
    scratch.link("link", scratch.folder("real", 0, 0o700));
    assert!(matches!(listen_at(&scratch.path("link/s")), Err(SocketError::Refused(_))));
}

/// However they come, one has it, and it is the one whose socket stands in the folder.
#[test]
fn of_many_that_start_at_once_one_listens() {
    let scratch = Scratch::new();
    let path = run(&scratch);
    for _ in 0..20 {
        let (dead, listener) = listen_at(&path).unwrap();
        std::mem::forget(dead);
        drop(listener);
        let barrier = Barrier::new(8);
        let outcomes: Vec<_> = std::thread::scope(|scope| {
            let starts: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        barrier.wait();
                        listen_at(&path)
                    })
                })
                .collect();
            starts.into_iter().map(|start| start.join().unwrap()).collect()
        });
        let (good, bad): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
        assert_eq!(good.len(), 1, "{bad:?}");
        assert!(bad.iter().all(|error| matches!(error, Err(SocketError::InUse { .. }))), "{bad:?}");
        let (own, _listener) = good.into_iter().next().unwrap().unwrap();
        assert_eq!(std::fs::symlink_metadata(&path).unwrap().ino(), own.inode.1);
        UnixStream::connect(&path).unwrap();
    }
}

#[test]
fn peers_are_root_and_the_own_user_and_nobody_who_has_no_number_here() {
    let service = Peers { us: 65532, nobody: Some(65534) };
    assert!(service.admit(0) && service.admit(65532));
    assert!([1, 1000, 65531, 65534, u32::MAX].iter().all(|uid| !service.admit(*uid)));
    // An own number that may be anybody's is nobody's.
    let nobody = Peers { us: 65534, nobody: Some(65534) };
    assert!(nobody.admit(0) && !nobody.admit(65534));
}
