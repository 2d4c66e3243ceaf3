//! Attempts on files and sockets.
//!
//! Owns that part of the list; see its parent.

use std::net::TcpListener;

use libc::c_long;

use super::{
    ABSTRACT, Attempt, Prepared, WRITABLE, block, descriptor, fd_of, from_io, last, number, numbers, raw,
    text,
};
use crate::sys::Argument;

pub(super) fn files<'a>(prepared: &'a Prepared) -> Vec<Attempt<'a>> {
    let cwd = i64::from(libc::AT_FDCWD);
    let open = move |path: &'static str, flags: libc::c_int| {
        move || raw(libc::SYS_openat, vec![number(cwd), text(path), number(flags.into()), number(0o600)])
    };
    let at = move |call: c_long, path: &'static str, rest: [i64; 2]| {
        move || raw(call, vec![number(cwd), text(path), number(rest[0]), number(rest[1])])
    };
    let two = move |call: c_long, from: &'static str, to: &'static str| {
        move || raw(call, vec![number(cwd), text(from), number(cwd), text(to), number(0)])
    };
    vec![
        ("read_foreign_key", Box::new(open("/etc/fluxheim/foreign.key", libc::O_RDONLY))),
        ("read_passwd", Box::new(open("/etc/passwd", libc::O_RDONLY))),
        ("read_root_folder", Box::new(open("/", libc::O_RDONLY | libc::O_DIRECTORY))),
        ("create", Box::new(open("/tmp/created", libc::O_WRONLY | libc::O_CREAT))),
        ("tmpfile", Box::new(open("/tmp", libc::O_WRONLY | libc::O_TMPFILE))),
        ("open_to_write", Box::new(open(WRITABLE, libc::O_WRONLY))),
        ("open_to_append", Box::new(open(WRITABLE, libc::O_WRONLY | libc::O_APPEND))),
        ("truncate", Box::new(|| raw(libc::SYS_truncate, vec![text(WRITABLE), number(0)]))),
        ("mkdir", Box::new(at(libc::SYS_mkdirat, "/tmp/folder", [0o700, 0]))),
        ("mknod", Box::new(at(libc::SYS_mknodat, "/tmp/fifo", [i64::from(libc::S_IFIFO | 0o600), 0]))),
        (
            "symlink",
            Box::new(|| {
                raw(libc::SYS_symlinkat, vec![text("/etc"), number(libc::AT_FDCWD.into()), text("/tmp/link")])
            }),
        ),
        ("link", Box::new(two(libc::SYS_linkat, WRITABLE, "/data/linked"))),
        ("chmod", Box::new(at(libc::SYS_fchmodat, WRITABLE, [0o644, 0]))),
        (
            "fchmod_open_before",
            Box::new(|| raw(libc::SYS_fchmod, numbers([fd_of(&prepared.writable), 0o600]))),
        ),
        (
            "chown",
            Box::new(|| {
                raw(
                    libc::SYS_fchownat,
                    vec![number(libc::AT_FDCWD.into()), text(WRITABLE), number(-1), number(-1), number(0)],
                )
            }),
        ),
        ("utimes", Box::new(at(libc::SYS_utimensat, WRITABLE, [0, 0]))),
        // These two last: the file is gone then.
        ("rename", Box::new(two(libc::SYS_renameat2, WRITABLE, "/data/renamed"))),
        (
            "unlink",
            Box::new(|| match std::fs::metadata(WRITABLE) {
                Ok(_) => {
                    raw(libc::SYS_unlinkat, vec![number(libc::AT_FDCWD.into()), text(WRITABLE), number(0)])
                }
                Err(_) => raw(
                    libc::SYS_unlinkat,
                    vec![number(libc::AT_FDCWD.into()), text("/data/renamed"), number(0)],
                ),
            }),
        ),
        (
            "open_by_handle_at",
            Box::new(|| raw(libc::SYS_open_by_handle_at, vec![number(-1), block(), number(0)])),
        ),
        ("chroot", Box::new(|| raw(libc::SYS_chroot, vec![text("/")]))),
        ("pivot_root", Box::new(|| raw(libc::SYS_pivot_root, vec![text("/tmp"), text("/tmp")]))),
        (
            "mount",
            Box::new(|| {
                raw(libc::SYS_mount, vec![text("none"), text("/tmp"), text("tmpfs"), number(0), number(0)])
            }),
        ),
        ("umount2", Box::new(|| raw(libc::SYS_umount2, vec![text("/nowhere"), number(0)]))),
    ]
}

pub(super) fn sockets<'a>(prepared: &'a Prepared) -> Vec<Attempt<'a>> {
    let socket = |family: libc::c_int, kind: libc::c_int, protocol: libc::c_int| {
        move || raw(libc::SYS_socket, numbers([family.into(), kind.into(), protocol.into()]))
    };
    let connect = |fd: i64| {
        let mut address = block();
        if let Argument::Block(words) = &mut address {
            // sa_family_t, a zero byte, the name: 3 + 16 bytes.
            let mut bytes = [0_u8; 24];
            bytes[0] = 1;
            bytes[3..3 + ABSTRACT.len()].copy_from_slice(ABSTRACT);
            for (word, piece) in words.iter_mut().zip(bytes.chunks_exact(8)) {
                *word = u64::from_ne_bytes(piece.try_into().unwrap());
            }
        }
        let length = 3 + i64::try_from(ABSTRACT.len()).unwrap();
        raw(libc::SYS_connect, vec![number(fd), address, number(length)])
    };
    vec![
        ("bind_unlisted_port", Box::new(|| from_io(TcpListener::bind("127.0.0.1:8081").map(drop)))),
        ("unix_socket", Box::new(socket(libc::AF_UNIX, libc::SOCK_DGRAM, 0))),
        (
            "abstract_connect",
            Box::new(move || {
                let fd =
                    descriptor(libc::SYS_socket, numbers([libc::AF_UNIX.into(), libc::SOCK_DGRAM.into(), 0]));
                if fd < 0 { last() } else { connect(fd) }
            }),
        ),
        ("abstract_connect_open_before", Box::new(move || connect(prepared.pair))),
        (
            "socketpair_datagram",
            Box::new(|| {
                raw(
                    libc::SYS_socketpair,
                    vec![number(1), number(libc::SOCK_DGRAM.into()), number(0), block()],
                )
            }),
        ),
        ("netlink", Box::new(socket(libc::AF_NETLINK, libc::SOCK_RAW, 0))),
        ("packet", Box::new(socket(libc::AF_PACKET, libc::SOCK_RAW, 0))),
        ("vsock", Box::new(socket(libc::AF_VSOCK, libc::SOCK_STREAM, 0))),
        ("alg", Box::new(socket(libc::AF_ALG, libc::SOCK_SEQPACKET, 0))),
        ("raw_icmp", Box::new(socket(libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_ICMP))),
        ("raw_icmp6", Box::new(socket(libc::AF_INET6, libc::SOCK_RAW, libc::IPPROTO_ICMPV6))),
    ]
}
