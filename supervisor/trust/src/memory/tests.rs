//! How secrets are kept, as the kernel tells it, under every limit and seen from another process.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, IoSliceMut, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::process::{ChildStdin, Output, Stdio};
use std::thread;

use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd::{Pid, mkstemp};

use super::*;
use crate::Role::{Certificate, PrivateKey};
use crate::node::Facts;
use crate::read;
use crate::secret::{Kept, slurp};
use crate::sys::unmapped;
use crate::testing::{Scratch, object, our_terms, task};

/// What is to be expected where locking is allowed: asked of the kernel, not of `SecretPages`.
fn best() -> Keeping {
    match Mapping::secret(at_least_one(1)).map(drop) {
        Err(Errno::ENOSYS | Errno::EPERM) => Keeping::Locked,
        _ => Keeping::SecretMemory,
    }
}

fn assert_passed(output: &Output) {
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

/// The entry of `smaps` of process `pid` (or `self`) that covers `address`.
fn entry(pid: &str, address: usize) -> Option<String> {
    let smaps = fs::read_to_string(format!("/proc/{pid}/smaps")).unwrap();
    let mut found: Option<String> = None;
    for line in smaps.lines() {
        let range = line.split(' ').next().unwrap().split_once('-');
        let range = range.and_then(|(from, to)| {
            Some((usize::from_str_radix(from, 16).ok()?, usize::from_str_radix(to, 16).ok()?))
        });
        match (range, &mut found) {
            (Some(_), Some(_)) => break,
            (Some((from, to)), None) if (from..to).contains(&address) => found = Some(line.to_owned()),
            (None, Some(entry)) => entry.extend(["\n", line]),
            _ => {}
        }
    }
    found
}

fn flags(entry: &str) -> Vec<&str> {
    entry.lines().find_map(|line| line.strip_prefix("VmFlags: ")).unwrap().split_whitespace().collect()
}

fn address(pages: &SecretPages) -> usize {
    pages.as_ptr().addr()
}

#[test]
fn starts_zeroed_and_shows_only_its_length_and_keeping() {
    for pages in [SecretPages::zeroed(5000).unwrap(), SecretPages::reachable(5000).unwrap()] {
        assert_eq!(&*pages, [0; 5000]);
        assert_eq!(format!("{pages:?}"), format!("SecretPages(5000 bytes in {})", pages.keeping()));
    }
    assert!(SecretPages::zeroed(0).unwrap().is_empty());
    assert!(SecretPages::zeroed(usize::MAX).is_err());
}

#[test]
fn is_wiped_whole_before_it_is_unmapped() {
    for mut pages in [SecretPages::zeroed(8192).unwrap(), SecretPages::reachable(8192).unwrap()] {
        pages.fill(b'K');
        pages.truncate(3);
        assert_eq!(&*pages, b"KKK");
        assert!(pages.mapping.bytes().ends_with(b"KKK"));
        drop(pages);
        assert_eq!(unmapped::last(), [0; 8192]);
    }
}

#[test]
fn is_locked_out_of_dumps_and_out_of_forks() {
    let (best_kind, locked) = (SecretPages::zeroed(1).unwrap(), SecretPages::reachable(1).unwrap());
    assert_eq!((best_kind.keeping(), locked.keeping()), (best(), Keeping::Locked));
    for pages in [&best_kind, &locked] {
        let entry = entry("self", address(pages)).unwrap();
        for flag in ["lo", "dd", "dc"] {
            assert!(flags(&entry).contains(&flag), "no {flag}: {entry}");
        }
        assert_eq!(entry.contains("/secretmem"), pages.keeping() == Keeping::SecretMemory, "{entry}");
    }
}

#[test]
fn takes_keys_and_leaves_what_is_public_on_the_heap() {
    let scratch = Scratch::new();
    let key = read(&object(PrivateKey, scratch.key("a.key")), &our_terms()).unwrap();
    assert_eq!(key.keeping(), best());
    let certificate =
        read(&object(Certificate, scratch.file("a.pem", b"C", 0, 0o644)), &our_terms()).unwrap();
    assert_eq!((certificate.as_bytes(), certificate.keeping()), (&b"C"[..], Keeping::Heap));
}

#[test]
fn reads_where_nothing_may_be_locked() {
    if let Some(path) = task() {
        let secret = read(&object(PrivateKey, path), &our_terms()).unwrap();
        assert_eq!(secret.as_bytes(), b"KEY");
        assert_eq!(secret.keeping(), Keeping::Unlocked(Errno::EPERM));
        let mut pages = SecretPages::zeroed(1 << 20).unwrap();
        pages.fill(b'K');
        let entry = entry("self", address(&pages)).unwrap();
        let flags = flags(&entry);
        assert!(!flags.contains(&"lo") && flags.contains(&"dd") && flags.contains(&"dc"), "{entry}");
        return;
    }
    let scratch = Scratch::new();
    let name = "memory::tests::reads_where_nothing_may_be_locked";
    assert_passed(&scratch.as_us_locking(0, name, &scratch.key("a.key")));
}

#[test]
fn holds_many_secrets_under_a_small_limit_and_leaves_threads_alone() {
    if let Some(path) = task() {
        return hold_many(&path);
    }
    let scratch = Scratch::new();
    let name = "memory::tests::holds_many_secrets_under_a_small_limit_and_leaves_threads_alone";
    assert_passed(&scratch.as_us_locking(64 << 10, name, &scratch.key("a.key")));
}

fn hold_many(path: &Path) {
    let read = || read(&object(PrivateKey, path), &our_terms()).unwrap();
    let secrets: Vec<_> = (0..200).map(|_| read()).collect();
    assert!(secrets.iter().all(|secret| secret.as_bytes() == b"KEY"));
    assert_eq!(secrets.first().unwrap().keeping(), best());
    assert_eq!(secrets.last().unwrap().keeping(), Keeping::Unlocked(Errno::ENOMEM));
    // The limit is used up, and nothing but the secrets notices.
    let threads: Vec<_> = (0..16)
        .map(|_| thread::Builder::new().stack_size(2 << 20).spawn(|| vec![1_u8; 8 << 20].len()).unwrap())
        .collect();
    assert!(threads.into_iter().all(|thread| thread.join().unwrap() == 8 << 20));
    drop(secrets);
    assert_eq!(read().keeping(), best());
}

/// Direct I/O needs a disk's filesystem, which /tmp need not be.
fn direct(content: &[u8]) -> File {
    let (_, path) = mkstemp("/var/tmp/fluxheim-trust-XXXXXX").unwrap();
    fs::write(&path, content).unwrap();
    let file = File::options().read(true).custom_flags(libc::O_DIRECT).open(&path);
    fs::remove_file(path).unwrap();
    file.unwrap()
}

#[test]
fn falls_back_where_the_filesystem_cannot_read_into_secret_memory() {
    // One byte short of a page: with the byte that shows growth the length suits direct I/O.
    let direct = direct(&[b'K'; 4095]);
    if let Keeping::SecretMemory = best() {
        let mut pages = SecretPages::zeroed(4096).unwrap();
        let error = direct.read_at(&mut pages, 0).expect_err("/var/tmp must be on a disk: ext4, xfs");
        assert_eq!(error.raw_os_error(), Some(libc::EFAULT));
    }
    let facts = Facts::of(&direct).unwrap();
    let secret = slurp(Kept::of(PrivateKey), &direct, &facts).unwrap().unwrap();
    assert_eq!((secret.as_bytes(), secret.keeping()), (&[b'K'; 4095][..], Keeping::Locked));
}

/// What the other process holds: where, and of what kind.
struct Held {
    at: usize,
    secret_memory: bool,
}

/// Holds a key in both kinds until it is told to let go, and then lives on until told to end.
fn hold(path: &Path) {
    let best = read(&object(PrivateKey, path), &our_terms()).unwrap();
    let mut locked = SecretPages::reachable(3).unwrap();
    locked.copy_from_slice(best.as_bytes());
    println!("\nholding {} {}", best.as_bytes().as_ptr().addr(), best.keeping() == Keeping::SecretMemory);
    println!("\nholding {} false", address(&locked));
    let mut orders = std::io::stdin().lines();
    assert_eq!(orders.next().unwrap().unwrap(), "drop");
    drop((best, locked));
    println!("\ndropped");
    assert_eq!(orders.next().unwrap().unwrap(), "end");
}

#[test]
fn is_out_of_reach_of_other_processes_and_gone_once_dropped() {
    if let Some(path) = task() {
        return hold(&path);
    }
    let scratch = Scratch::new();
    let name = "memory::tests::is_out_of_reach_of_other_processes_and_gone_once_dropped";
    let mut command = scratch.command(&[], name, &scratch.key("a.key"));
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut held = || {
        let line = lines.find(|line| line.starts_with("holding ")).unwrap();
        let mut words = line.split(' ').skip(1);
        let at = words.next().unwrap().parse().unwrap();
        Held { at, secret_memory: words.next() == Some("true") }
    };
    let held = [held(), held()];
    assert_eq!(held[0].secret_memory, best() == Keeping::SecretMemory);
    for held in &held {
        assert_reach(child.id(), held);
    }
    let mut orders = child.stdin.take().unwrap();
    let order = |line: &str, orders: &mut ChildStdin| writeln!(orders, "{line}").unwrap();
    order("drop", &mut orders);
    lines.find(|line| line == "dropped").unwrap();
    for held in &held {
        assert!(entry(&child.id().to_string(), held.at).is_none(), "still mapped");
    }
    order("end", &mut orders);
    assert!(lines.any(|line| line.contains("1 passed")) && child.wait().unwrap().success());
}

/// Root reads locked pages of another process, and secret memory not at all.
fn assert_reach(pid: u32, held: &Held) {
    let (mut by_call, mut by_file) = ([0; 3], [0; 3]);
    let remote = [RemoteIoVec { base: held.at, len: 3 }];
    let read =
        process_vm_readv(Pid::from_raw(pid.cast_signed()), &mut [IoSliceMut::new(&mut by_call)], &remote);
    let memory = File::open(format!("/proc/{pid}/mem"))
        .expect("this test looks into another user's process: it needs root with CAP_SYS_PTRACE");
    let file_read = memory.read_at(&mut by_file, held.at as u64);
    if held.secret_memory {
        assert_eq!(read, Err(Errno::EFAULT));
        assert_eq!(file_read.unwrap_err().raw_os_error(), Some(libc::EIO));
        assert_eq!((by_call, by_file), ([0; 3], [0; 3]));
    } else {
        // Shows that what is refused above is refused for the memory's sake.
        assert_eq!((read, file_read.unwrap()), (Ok(3), 3));
        assert_eq!((&by_call, &by_file), (b"KEY", b"KEY"));
    }
}
