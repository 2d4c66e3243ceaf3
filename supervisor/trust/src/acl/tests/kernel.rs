//! The kernel of this machine as the judge of what a list is and whom it lets in.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::unistd::{AccessFlags, Gid, Uid, faccessat, setgroups, setresgid, setresuid};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use rustix::fs::{XattrFlags, getxattr, setxattr};
use rustix::io::Errno;

use super::properties::{IDS, any_records, identity, nearly, records};
use super::*;
use crate::testing::{STRANGER, Scratch, task};

const ACCESS: &str = "system.posix_acl_access";

fn set(path: &Path, value: &[u8]) -> Result<(), Errno> {
    setxattr(path, ACCESS, value, XattrFlags::empty())
}

/// The list of a file; `None` where the mode says all of it.
fn list_of(path: &Path) -> Option<Acl> {
    let mut value = vec![0; 1 << 16];
    match getxattr(path, ACCESS, &mut value[..]) {
        Ok(length) => Some(parse(&value[..length]).unwrap()),
        Err(Errno::NODATA) => None,
        Err(errno) => panic!("reading {ACCESS} of {}: {errno}", path.display()),
    }
}

fn sample<T: std::fmt::Debug>(runner: &mut TestRunner, strategy: impl Strategy<Value = T>) -> T {
    strategy.new_tree(runner).unwrap().current()
}

#[test]
fn a_list_is_what_the_kernel_takes() {
    let scratch = Scratch::new();
    let path = scratch.file("a", b"", 0, 0o600);
    let runner = &mut TestRunner::default();
    let (mut taken, mut refused) = (0, 0);
    for records in sample(runner, vec(prop_oneof![records(), nearly(), any_records()], 3000)) {
        // Without entries it is no list, but the order to remove one.
        if records.is_empty() {
            continue;
        }
        let (ours, kernels) = (parse(&bytes(&records)), set(&path, &bytes(&records)));
        assert_eq!(ours.is_ok(), kernels.is_ok(), "{records:?}\nours: {ours:?}\nthe kernel's: {kernels:?}");
        if kernels.is_ok() { taken += 1 } else { refused += 1 }
    }
    assert!(taken > 500 && refused > 500, "{taken} taken, {refused} refused");
}

#[test]
fn a_value_is_what_the_kernel_takes() {
    let scratch = Scratch::new();
    let path = scratch.file("a", b"", 0, 0o600);
    let good = bytes(CUT);
    for length in 1..good.len() {
        let part = &good[..length];
        assert!(parse(part).is_err());
        assert_eq!(set(&path, part).is_err(), length != 4, "{length} bytes");
    }
    for version in [0, 1, 3, 2 << 24] {
        let value = [&u32::to_le_bytes(version)[..], &good[4..]].concat();
        assert_eq!(parse(&value), Err(Malformed::Version(version)));
        assert_eq!(set(&path, &value), Err(Errno::OPNOTSUPP));
    }
}

#[test]
fn a_list_comes_back_as_it_was_set() {
    let scratch = Scratch::new();
    let path = scratch.file("a", b"", 0, 0o600);
    let runner = &mut TestRunner::default();
    for records in sample(runner, vec(records(), 500)) {
        set(&path, &bytes(&records)).unwrap();
        let acl = list(&records);
        let mode = fs::metadata(&path).unwrap().mode();
        match list_of(&path) {
            Some(read) => assert_eq!(read, acl),
            // Three entries are a mode.
            None => assert_eq!(acl.mask(), None),
        }
        let bits = |who| acl.entries().find(|entry| entry.who == who).unwrap().rights.bits();
        let group = acl.mask().map_or_else(|| bits(Who::OwningGroup), Rights::bits);
        assert_eq!(mode & 0o777, bits(Who::Owner) << 6 | group << 3 | bits(Who::Other), "{acl}");
    }
}

#[test]
fn lets_in_whom_the_kernel_lets_in() {
    let name = "acl::tests::kernel::lets_in_whom_the_kernel_lets_in";
    if let Some(folder) = task() {
        return compare(&folder);
    }
    let scratch = Scratch::new();
    // Another process, since ids are a process's; root, to become one identity after the other.
    let mut command = scratch.command(&[], name, &scratch.path("."));
    let output = command.uid(0).gid(0).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("1 passed"), "{text}");
}

/// Random files below `folder`, judged by the kernel for random identities.
fn compare(folder: &Path) {
    let runner = &mut TestRunner::default();
    let files = sample(runner, vec((records(), IDS, IDS), 300));
    let paths: Vec<_> = (0..files.len()).map(|nth| folder.join(nth.to_string())).collect();
    for (path, (records, uid, gid)) in paths.iter().zip(&files) {
        File::create(path).unwrap();
        chown(path, Some(*uid), Some(*gid)).unwrap();
        set(path, &bytes(records)).unwrap();
    }
    let (mut allowed, mut denied) = (0, 0);
    for identity in sample(runner, vec(identity(), 60)) {
        let kernels = as_identity(&identity, || paths.iter().map(|path| kernel_allows(path)).collect());
        for ((records, uid, gid), kernels) in files.iter().zip(kernels) {
            let acl = list(records);
            let ours = ALL.map(|wanted| acl.allows(&identity, *uid, *gid, wanted));
            assert_eq!(ours, kernels, "{acl}\nof {uid}:{gid}, for {identity:?}, asked for {ALL:?}");
            for answer in ours {
                if answer { allowed += 1 } else { denied += 1 }
            }
        }
    }
    assert!(allowed > 10_000 && denied > 10_000, "{allowed} allowed, {denied} denied");
}

/// Every combination that can be asked for.
const ALL: [Rights; 7] = [Rights(1), Rights(2), Rights(3), Rights(4), Rights(5), Rights(6), Rights(7)];

fn kernel_allows(path: &Path) -> [bool; 7] {
    ALL.map(|wanted| {
        let wanted = AccessFlags::from_bits(wanted.bits().cast_signed()).unwrap();
        match faccessat(AT_FDCWD, path, wanted, AtFlags::AT_EACCESS) {
            Ok(()) => true,
            Err(nix::errno::Errno::EACCES) => false,
            Err(errno) => panic!("{}: {errno}", path.display()),
        }
    })
}

/// Runs `deed` under these ids and without capabilities; the saved uid leads back to root.
fn as_identity<T>(identity: &Identity, deed: impl FnOnce() -> Vec<T>) -> Vec<T> {
    let become_one = |uid: u32, gid: u32, groups: &[u32]| {
        let (uid, gid, root) = (Uid::from_raw(uid), Gid::from_raw(gid), Uid::from_raw(0));
        setresuid(root, root, root).unwrap();
        setgroups(&groups.iter().copied().map(Gid::from_raw).collect::<Vec<_>>()).unwrap();
        setresgid(gid, gid, gid).unwrap();
        setresuid(uid, uid, root).unwrap();
    };
    become_one(identity.uid, identity.gid, &identity.groups);
    let done = deed();
    become_one(0, 0, &[]);
    done
}

#[test]
fn a_chmod_arms_what_was_dormant() {
    let scratch = Scratch::new();
    let path = scratch.file("a", b"", 0, 0o600);
    scratch.setfacl("u:1234:rw,m::---", "a");
    let mode = |mode| {
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        list_of(&path).unwrap()
    };
    let reads = |acl: Acl| acl.allows(&Identity::of(STRANGER), 0, 0, Rights::READ);
    let shut = mode(0o600);
    assert_eq!((texts(shut.grants()), texts(shut.dormant())), (vec![], vec!["user:1234:rw-".to_owned()]));
    assert!(!reads(shut));
    let open = mode(0o640);
    assert_eq!(texts(open.grants()), ["user:1234:r--"]);
    assert_eq!(texts(open.dormant()), ["user:1234:-w-"]);
    assert!(reads(open));
}

#[test]
fn reads_as_in_getfacl() {
    let scratch = Scratch::new();
    let path = scratch.file("a", b"", 0, 0o640);
    scratch.setfacl("u:1234:rwx,u:1235:r,g:77:wx,m::rx,o::x", "a");
    let options = ["--omit-header", "--numeric", "--absolute-names"];
    let output = Command::new("getfacl").args(options).arg(&path).output();
    let output = output.expect("getfacl is missing: apt-get install acl");
    let lines = String::from_utf8(output.stdout).unwrap();
    let lines = lines.lines().filter(|line| !line.is_empty());
    let words: Vec<_> = lines.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(list_of(&path).unwrap().to_string(), words.join(", "));
}

#[test]
fn somebody_without_a_number_here_is_somebody() {
    let name = "acl::tests::kernel::somebody_without_a_number_here_is_somebody";
    if let Some(path) = task() {
        assert_eq!(texts(list_of(&path).unwrap().grants()), ["user:4294967295:r--", "group:4294967295:r--"]);
        return;
    }
    let scratch = Scratch::new();
    let path = scratch.file("a", b"", 0, 0o600);
    scratch.setfacl("u:1234:r,g:77:r", "a");
    let mut command = scratch.command(&["unshare", "--user", "--map-root-user"], name, &path);
    let output = command.uid(0).gid(0).output().expect("unshare is missing: apt-get install util-linux");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("1 passed"), "{text}");
}
