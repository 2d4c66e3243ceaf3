//! What a proxy that was taken over can't do, tried in its own confinement.
//!
//! `supervisor/init/examples/confined` takes the proxy's way to the verdict in the image's container and
//! then makes each attempt itself. Without fluxheim-init the same attempts show what would be possible,
//! so that nothing is denied for another reason than ours.

use std::collections::BTreeMap;

use tempfile::TempDir;

use crate::cell::{confined, facts};
use crate::docker::{Container, USER, docker, image, mounted_config, volume};

/// Where an attempt must get past every check of permission when nothing of ours is in the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Free {
    /// A plain user under the runtime's own filter.
    Plain,
    /// Root with the capabilities of [`POWERS`] and without a filter of the runtime.
    Powerful,
    /// As `Powerful`, where the kernel was built with it.
    IfBuilt,
    /// Not tried, see there.
    Untried,
}
use Free::{IfBuilt, Plain, Powerful, Untried};

/// Each attempt, the errno that it meets, and where it is possible. ENOSYS is our filter's answer.
const ATTEMPTS: &[(&str, &str, Free)] = &[
    // Programs.
    ("execve", "ENOSYS", Plain),
    ("execveat", "ENOSYS", Plain),
    ("execveat_open_before", "ENOSYS", Plain),
    ("memfd_create", "ENOSYS", Plain),
    // There is no memfd to fill, and nothing to fill it with: reading the program is denied.
    ("execveat_memfd", "EACCES", Plain),
    ("mmap_exec", "ENOSYS", Plain),
    ("mprotect_exec", "ENOSYS", Plain),
    ("personality", "ENOSYS", Plain),
    // Processes.
    ("clone_process", "ENOSYS", Plain),
    ("clone_vfork", "ENOSYS", Plain),
    ("clone_newuser", "ENOSYS", Powerful),
    ("clone3", "ENOSYS", Powerful),
    ("unshare_newuser", "ENOSYS", Powerful),
    ("unshare_newns", "ENOSYS", Powerful),
    ("unshare_newnet", "ENOSYS", Powerful),
    ("setns", "ENOSYS", Powerful),
    ("ptrace_attach", "ENOSYS", Untried),
    ("ptrace_seize", "ENOSYS", Powerful),
    ("process_vm_readv", "ENOSYS", Powerful),
    ("kill", "ENOSYS", Plain),
    // The filter has it for abort(3): what keeps it from others is Landlock.
    ("tgkill", "EPERM", Plain),
    ("pidfd_open", "ENOSYS", Plain),
    ("pidfd_send_signal", "ENOSYS", Plain),
    ("setuid", "ENOSYS", Powerful),
    ("setresuid", "ENOSYS", Powerful),
    ("setgroups", "ENOSYS", Powerful),
    ("capset", "ENOSYS", Plain),
    ("prctl_dumpable", "ENOSYS", Plain),
    ("prctl_seccomp", "ENOSYS", Plain),
    ("seccomp", "ENOSYS", Plain),
    ("setrlimit", "ENOSYS", Plain),
    ("prlimit", "ENOSYS", Plain),
    #[cfg(target_arch = "x86_64")]
    ("fork", "ENOSYS", Plain),
    #[cfg(target_arch = "x86_64")]
    ("vfork", "ENOSYS", Untried),
    // Files: which can be read is Landlock's to say, the rest isn't there at all.
    ("read_foreign_key", "EACCES", Powerful),
    ("read_passwd", "EACCES", Plain),
    ("read_root_folder", "EACCES", Plain),
    ("create", "ENOSYS", Plain),
    ("tmpfile", "ENOSYS", Plain),
    ("open_to_write", "ENOSYS", Plain),
    ("open_to_append", "ENOSYS", Plain),
    ("truncate", "ENOSYS", Plain),
    // Where the proxy keeps no state, Landlock lets it keep nothing.
    ("mkdir", "EACCES", Plain),
    ("mknod", "ENOSYS", Plain),
    ("symlink", "ENOSYS", Plain),
    ("link", "ENOSYS", Plain),
    ("chmod", "ENOSYS", Plain),
    ("fchmod_open_before", "ENOSYS", Plain),
    ("chown", "ENOSYS", Plain),
    ("utimes", "ENOSYS", Plain),
    ("rename", "ENOSYS", Plain),
    // Landlock lets it be done in the folder of the admin socket and in that of state alone, which are none here.
    ("unlink", "EACCES", Plain),
    ("open_by_handle_at", "ENOSYS", Powerful),
    ("chroot", "ENOSYS", Powerful),
    ("pivot_root", "ENOSYS", Powerful),
    ("mount", "ENOSYS", Powerful),
    ("umount2", "ENOSYS", Powerful),
    // Sockets.
    ("bind_unlisted_port", "EACCES", Plain),
    ("unix_socket", "ENOSYS", Plain),
    ("abstract_connect", "ENOSYS", Plain),
    // The first filter lets no pair be made that could be connected, so there is none to try.
    ("abstract_connect_open_before", "EBADF", Plain),
    ("socketpair_datagram", "ENOSYS", Plain),
    ("netlink", "ENOSYS", Plain),
    ("packet", "ENOSYS", Powerful),
    ("vsock", "ENOSYS", IfBuilt),
    ("alg", "ENOSYS", IfBuilt),
    ("raw_icmp", "ENOSYS", Powerful),
    ("raw_icmp6", "ENOSYS", Powerful),
    // The kernel's wide doors.
    ("add_key", "ENOSYS", IfBuilt),
    ("keyctl", "ENOSYS", IfBuilt),
    ("request_key", "ENOSYS", IfBuilt),
    ("bpf", "ENOSYS", IfBuilt),
    ("io_uring_setup", "ENOSYS", IfBuilt),
    ("perf_event_open", "ENOSYS", IfBuilt),
    ("userfaultfd", "ENOSYS", IfBuilt),
    ("kexec_load", "ENOSYS", IfBuilt),
    ("init_module", "ENOSYS", IfBuilt),
    ("finit_module", "ENOSYS", IfBuilt),
    ("swapon", "ENOSYS", IfBuilt),
    ("reboot", "ENOSYS", Powerful),
    ("sethostname", "ENOSYS", Powerful),
    ("syslog", "ENOSYS", IfBuilt),
];

/// Landlock alone denies these, from that version of its interface on.
const BY_LANDLOCK: &[(&str, i32)] =
    &[("tgkill", 6), ("read_passwd", 1), ("read_root_folder", 1), ("bind_unlisted_port", 4)];

/// Not all there are: an engine may not have them all itself.
const POWERS: [&str; 16] = [
    "--user",
    "0",
    "--security-opt",
    "seccomp=unconfined",
    "--cap-add",
    "SYS_ADMIN",
    "--cap-add",
    "SYS_BOOT",
    "--cap-add",
    "SYS_MODULE",
    "--cap-add",
    "SYS_PTRACE",
    "--cap-add",
    "DAC_READ_SEARCH",
    "--cap-add",
    "SYSLOG",
];

const ALLOWED: [&str; 4] = ["ok_read_configuration", "ok_bind_listed_port", "ok_thread", "ok_mmap"];

/// The list opens descriptors before the confinement, which `fds` objects to.
const CONFIG: &str = "[server]\nhttp = [\"127.0.0.1:8080\"]\n[hardening]\nfds = \"best_effort\"\n";

/// What all runs share: the mounted configuration with another user's file beside it, and another
/// container in the same network namespace that listens on an abstract socket.
struct Place {
    folder: TempDir,
    listener: Container,
}

impl Place {
    fn new() -> Self {
        let folder = mounted_config(CONFIG, &[]);
        std::fs::write(folder.path().join("foreign.key"), "secret").unwrap();
        crate::docker::set_mode(&folder.path().join("foreign.key"), 0o600);
        let mount = format!("{}:/confined:ro", confined());
        let listener =
            Container::run(&["-v", &mount, "-e", "CONFINED_ACT=listen", "--entrypoint", "/confined"]);
        listener.wait_for("listening");
        Self { folder, listener }
    }

    /// What came of each attempt, by name.
    fn tried(&self, options: &[&str], arguments: &[&str]) -> BTreeMap<String, String> {
        let (program, config) = (format!("{}:/confined:ro", confined()), volume(&self.folder));
        let network = format!("container:{}", self.listener.0);
        // A file of the service user's own in a folder that anybody may write to, and an empty tmpfs.
        let data = TempDir::new().unwrap();
        crate::docker::set_mode(data.path(), 0o777);
        let writable = data.path().join("writable");
        std::fs::write(&writable, "").unwrap();
        crate::docker::set_mode(&writable, 0o666);
        std::os::unix::fs::chown(&writable, Some(USER), Some(USER)).unwrap();
        let data_mount = format!("{}:/data", data.path().display());
        let mounts = ["-v", &program, "-v", &config, "-v", &data_mount, "--tmpfs", "/tmp"];
        let own = [&mounts[..], &["-e", "CONFINED_ACT=list", "--network", &network]].concat();
        let text = docker(&[&["run", "--rm"], &own[..], options, &[&image()], arguments].concat());
        let pairs = text.lines().filter_map(|line| line.split_once(' '));
        pairs.map(|(name, came)| (name.to_owned(), came.to_owned())).collect()
    }
}

#[test]
fn everything_is_denied_inside_whatever_the_runtime_adds() {
    let place = Place::new();
    for options in [
        &[][..],
        &["--security-opt", "seccomp=unconfined"],
        &["--user", "0"],
        &["--user", "0", "--security-opt", "seccomp=unconfined"],
    ] {
        let came = place.tried(options, &["--proxy", "/confined"]);
        let abi: i32 = facts(options)["landlock_abi"][0].parse().unwrap();
        let mut wrong = Vec::new();
        for (name, errno, _) in ATTEMPTS {
            let beyond_the_kernel = BY_LANDLOCK.iter().any(|(by, from)| by == name && abi < *from);
            let expected = if beyond_the_kernel { "done" } else { errno };
            if came.get(*name).map(String::as_str) != Some(expected) {
                wrong.push(format!("{name}: {:?}, expected {expected}", came.get(*name)));
            }
        }
        for name in ALLOWED {
            if came[name] != "done" {
                wrong.push(format!("{name}: {}, must be possible", came[name]));
            }
        }
        assert!(wrong.is_empty(), "{options:?}: {wrong:#?}");
        // And nothing was tried that no expectation is about.
        assert_eq!(came.len(), ATTEMPTS.len() + ALLOWED.len(), "{came:#?}");
    }
}

#[test]
fn the_same_is_possible_outside() {
    let place = Place::new();
    let free = ["--entrypoint", "/confined"];
    let plain = place.tried(&free, &[]);
    let powerful = place.tried(&[&free[..], &POWERS].concat(), &[]);
    let mut wrong = Vec::new();
    for (name, errno, free) in ATTEMPTS {
        let came = match free {
            Plain => &plain[*name],
            Powerful => &powerful[*name],
            IfBuilt if powerful[*name] == "ENOSYS" || powerful[*name] == "EAFNOSUPPORT" => continue,
            IfBuilt => &powerful[*name],
            Untried => continue,
        };
        // An errno about the arguments: the call was looked at.
        if [errno, "ENOSYS", "EPERM", "EACCES"].contains(&came.as_str()) {
            wrong.push(format!("{name}: {came}, expected to be possible ({free:?})"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
