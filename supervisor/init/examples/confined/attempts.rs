//! What a proxy shall not be able to do, and a little that it shall.
//!
//! Owns the list and how each is tried without doing harm should it succeed; judges nothing. Each
//! line says a name and `done` or the errno. See the man page of each call, section 2.

mod outward;

use std::ffi::CString;
use std::fs::File;
use std::net::TcpListener;
use std::os::fd::{AsRawFd, IntoRawFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use libc::c_long;
use nix::errno::Errno;

use crate::say;
use crate::sys::{Argument, apart, call};

/// What was there before the confinement: it must not be a way out of it.
pub(crate) struct Prepared {
    /// fluxheim-init; without it the program itself, for a process that it forks.
    target: i64,
    own_program: Option<File>,
    writable: Option<File>,
    pidfd: i64,
    memfd: i64,
    /// One end of a pair of datagram sockets, which can still be connected to another one.
    pair: i64,
}

impl Prepared {
    /// Nothing unless the list shall be tried: each is a descriptor that an init would object to.
    pub(crate) fn now(act: &str) -> Self {
        let confined = std::env::var_os("FLUXHEIM_HANDOFF_FD").is_some();
        let target = if confined { nix::unistd::getppid() } else { nix::unistd::getpid() };
        let mut prepared = Self {
            target: target.as_raw().into(),
            own_program: None,
            writable: None,
            pidfd: -1,
            memfd: -1,
            pair: -1,
        };
        if act == "list" {
            prepared.own_program = File::open(PROGRAM).ok();
            // Confined it is there already, and can't be made.
            prepared.writable = File::create(WRITABLE).or_else(|_| File::open(WRITABLE)).ok();
            prepared.pidfd = descriptor(libc::SYS_pidfd_open, vec![number(prepared.target), number(0)]);
            prepared.memfd = descriptor(libc::SYS_memfd_create, vec![text("early"), number(0)]);
            prepared.pair = UnixDatagram::pair().map_or(-1, |(one, other)| {
                std::mem::forget(other);
                one.into_raw_fd().into()
            });
        }
        prepared
    }
}

/// Binds the abstract socket that the list is connected to from elsewhere, and stays.
pub(crate) fn listen() -> ! {
    let address = SocketAddr::from_abstract_name(ABSTRACT).unwrap();
    let _socket = UnixDatagram::bind_addr(&address).unwrap();
    say("listening");
    loop {
        std::thread::park();
    }
}

/// Tries everything, one line each.
pub(crate) fn make(prepared: &Prepared, confined: bool) {
    for (name, attempt) in list(prepared) {
        // Where it may succeed, what it does shall happen to another process.
        let number = if confined { attempt() } else { apart(attempt) };
        say(&match number {
            0 => format!("{name} done"),
            number => format!("{name} {:?}", Errno::from_raw(number.into())),
        });
    }
}

type Attempt<'a> = (&'static str, Box<dyn FnOnce() -> u8 + 'a>);

fn list(prepared: &Prepared) -> Vec<Attempt<'_>> {
    let mut list = allowed();
    list.extend(programs(prepared));
    list.extend(processes(prepared));
    list.extend(outward::files(prepared));
    list.extend(outward::sockets(prepared));
    list.extend(kernel());
    list
}

/// What a proxy must be able to do: a program that can't do anything proves nothing.
fn allowed<'a>() -> Vec<Attempt<'a>> {
    let read = || from_io(std::fs::read("/etc/fluxheim/fluxheim.toml").map(drop));
    let listen = || from_io(TcpListener::bind("127.0.0.1:8080").map(drop));
    let thread = || from_io(std::thread::Builder::new().spawn(|| ()).map(drop));
    let memory = || raw(libc::SYS_mmap, anonymous(libc::PROT_READ | libc::PROT_WRITE));
    vec![
        ("ok_read_configuration", Box::new(read)),
        ("ok_bind_listed_port", Box::new(listen)),
        ("ok_thread", Box::new(thread)),
        ("ok_mmap", Box::new(memory)),
    ]
}

fn programs<'a>(prepared: &'a Prepared) -> Vec<Attempt<'a>> {
    let lists = || [Argument::List(vec![c(PROGRAM)]), Argument::List(vec![c("CONFINED_ACT=executed")])];
    let at = move |fd: i64, path: &str, flags: i64| {
        let [arguments, environment] = lists();
        raw(libc::SYS_execveat, vec![number(fd), text(path), arguments, environment, number(flags)])
    };
    let early = move || {
        let copied = std::fs::read(PROGRAM)
            .and_then(|program| std::fs::write(format!("/proc/self/fd/{}", prepared.memfd), program));
        match from_io(copied) {
            0 => at(prepared.memfd, "", EMPTY_PATH),
            failed => failed,
        }
    };
    vec![
        (
            "execve",
            Box::new(move || {
                let [arguments, environment] = lists();
                raw(libc::SYS_execve, vec![text(PROGRAM), arguments, environment])
            }),
        ),
        ("execveat", Box::new(move || at(libc::AT_FDCWD.into(), PROGRAM, 0))),
        ("execveat_open_before", Box::new(move || at(fd_of(&prepared.own_program), "", EMPTY_PATH))),
        ("memfd_create", Box::new(|| raw(libc::SYS_memfd_create, vec![text("late"), number(0)]))),
        ("execveat_memfd", Box::new(early)),
        ("mmap_exec", Box::new(|| raw(libc::SYS_mmap, anonymous(libc::PROT_READ | libc::PROT_EXEC)))),
        (
            "mprotect_exec",
            Box::new(|| {
                // An address of nothing: the kernel looks at the protection first, and then finds ENOMEM.
                raw(
                    libc::SYS_mprotect,
                    vec![number(0), number(4096), number((libc::PROT_READ | libc::PROT_EXEC).into())],
                )
            }),
        ),
        ("personality", Box::new(|| raw(libc::SYS_personality, vec![number(0xffff_ffff)]))),
    ]
}

fn processes<'a>(prepared: &'a Prepared) -> Vec<Attempt<'a>> {
    let target = prepared.target;
    let flags = |flags: libc::c_int| move || raw(libc::SYS_clone, numbers([flags.into(), 0, 0, 0, 0]));
    let trace = move |request: i64| move || raw(libc::SYS_ptrace, numbers([request, target, 0, 0, 0]));
    let mut list: Vec<Attempt<'a>> = vec![
        ("clone_process", Box::new(flags(libc::SIGCHLD))),
        ("clone_vfork", Box::new(flags(libc::CLONE_VFORK | libc::SIGCHLD))),
        ("clone_newuser", Box::new(flags(libc::CLONE_NEWUSER | libc::SIGCHLD))),
        (
            "clone3",
            Box::new(|| {
                let mut wanted = block();
                if let Argument::Block(words) = &mut wanted {
                    words[4] = u64::from(libc::SIGCHLD.cast_unsigned());
                }
                raw(libc::SYS_clone3, vec![wanted, number(88)])
            }),
        ),
        ("unshare_newuser", Box::new(|| raw(libc::SYS_unshare, numbers([libc::CLONE_NEWUSER.into()])))),
        ("unshare_newns", Box::new(|| raw(libc::SYS_unshare, numbers([libc::CLONE_NEWNS.into()])))),
        ("unshare_newnet", Box::new(|| raw(libc::SYS_unshare, numbers([libc::CLONE_NEWNET.into()])))),
        (
            "setns",
            Box::new(move || raw(libc::SYS_setns, numbers([prepared.pidfd, libc::CLONE_NEWNS.into()]))),
        ),
        ("ptrace_seize", Box::new(trace(libc::PTRACE_SEIZE.into()))),
        (
            "process_vm_readv",
            Box::new(move || {
                raw(
                    libc::SYS_process_vm_readv,
                    vec![number(target), block(), number(1), block(), number(1), number(0)],
                )
            }),
        ),
        ("kill", Box::new(move || raw(libc::SYS_kill, numbers([target, 0])))),
        // The one signal that the filter lets through; a process that isn't confined is only asked.
        (
            "tgkill",
            Box::new(move || {
                let signal = if prepared.is_confined() { libc::SIGABRT } else { 0 };
                raw(libc::SYS_tgkill, numbers([target, target, signal.into()]))
            }),
        ),
        ("pidfd_open", Box::new(move || raw(libc::SYS_pidfd_open, numbers([target, 0])))),
        (
            "pidfd_send_signal",
            Box::new(move || raw(libc::SYS_pidfd_send_signal, numbers([prepared.pidfd, 0, 0, 0]))),
        ),
        ("setuid", Box::new(|| raw(libc::SYS_setuid, numbers([0])))),
        ("setresuid", Box::new(|| raw(libc::SYS_setresuid, numbers([0, 0, 0])))),
        ("setgroups", Box::new(|| raw(libc::SYS_setgroups, numbers([0, 0])))),
        (
            "capset",
            Box::new(|| {
                let mut header = block();
                if let Argument::Block(words) = &mut header {
                    words[0] = 0x2008_0522;
                }
                raw(libc::SYS_capset, vec![header, block()])
            }),
        ),
        (
            "prctl_dumpable",
            Box::new(|| raw(libc::SYS_prctl, numbers([libc::PR_SET_DUMPABLE.into(), 1, 0, 0, 0]))),
        ),
        (
            "prctl_seccomp",
            Box::new(|| raw(libc::SYS_prctl, numbers([libc::PR_SET_SECCOMP.into(), 7, 0, 0, 0]))),
        ),
        ("seccomp", Box::new(|| raw(libc::SYS_seccomp, numbers([99, 0, 0])))),
        ("setrlimit", Box::new(|| raw(libc::SYS_setrlimit, vec![number(libc::RLIMIT_CORE.into()), block()]))),
        (
            "prlimit",
            Box::new(|| {
                raw(
                    libc::SYS_prlimit64,
                    vec![number(0), number(libc::RLIMIT_CORE.into()), block(), number(0)],
                )
            }),
        ),
    ];
    // It stops what it attaches to, which nobody would continue when it is this program.
    if prepared.is_confined() {
        list.push(("ptrace_attach", Box::new(trace(libc::PTRACE_ATTACH.into()))));
    }
    #[cfg(target_arch = "x86_64")]
    list.push(("fork", Box::new(|| raw(libc::SYS_fork, vec![]))));
    // A new process on the stack of this one, which only a caller in assembly survives: without fluxheim-init
    // it isn't tried.
    #[cfg(target_arch = "x86_64")]
    if prepared.is_confined() {
        list.push(("vfork", Box::new(|| raw(libc::SYS_vfork, vec![]))));
    }
    list
}

impl Prepared {
    fn is_confined(&self) -> bool {
        self.target != i64::from(nix::unistd::Pid::this().as_raw())
    }
}

/// Wide doors of the kernel. Arguments that make no sense, so that nothing happens where the call is
/// allowed: it then answers with an errno that says so.
fn kernel<'a>() -> Vec<Attempt<'a>> {
    vec![
        (
            "add_key",
            Box::new(|| {
                raw(libc::SYS_add_key, vec![text("user"), text("fluxheim"), text("x"), number(1), number(-1)])
            }),
        ),
        ("keyctl", Box::new(|| raw(libc::SYS_keyctl, numbers([0, -1, 0, 0, 0])))),
        (
            "request_key",
            Box::new(|| {
                raw(libc::SYS_request_key, vec![text("user"), text("fluxheim-none"), number(0), number(0)])
            }),
        ),
        ("bpf", Box::new(|| raw(libc::SYS_bpf, vec![number(9999), block(), number(8)]))),
        ("io_uring_setup", Box::new(|| raw(libc::SYS_io_uring_setup, vec![number(1), block()]))),
        ("perf_event_open", Box::new(|| raw(libc::SYS_perf_event_open, numbers([0, 0, -1, -1, 0])))),
        ("userfaultfd", Box::new(|| raw(libc::SYS_userfaultfd, numbers([1])))),
        ("kexec_load", Box::new(|| raw(libc::SYS_kexec_load, numbers([0, 99, 0, -1])))),
        ("init_module", Box::new(|| raw(libc::SYS_init_module, numbers([0, 0, 0])))),
        ("finit_module", Box::new(|| raw(libc::SYS_finit_module, numbers([-1, 0, 0])))),
        ("swapon", Box::new(|| raw(libc::SYS_swapon, vec![text("/nowhere"), number(0)]))),
        ("reboot", Box::new(|| raw(libc::SYS_reboot, numbers([0, 0, 0, 0])))),
        ("sethostname", Box::new(|| raw(libc::SYS_sethostname, numbers([0, -1])))),
        ("syslog", Box::new(|| raw(libc::SYS_syslog, numbers([10, 0, 0])))),
    ]
}

/// The call's errno; 0 when it succeeded.
fn raw(number: c_long, mut arguments: Vec<Argument>) -> u8 {
    code(call(number, &mut arguments).err())
}

/// The descriptor that the call gives, or -1.
fn descriptor(number: c_long, mut arguments: Vec<Argument>) -> i64 {
    call(number, &mut arguments).unwrap_or(-1)
}

fn last() -> u8 {
    code(Some(Errno::last()))
}

fn from_io(done: std::io::Result<()>) -> u8 {
    code(done.err().map(|error| Errno::from_raw(error.raw_os_error().unwrap_or(0))))
}

fn code(errno: Option<Errno>) -> u8 {
    errno.map_or(0, |errno| u8::try_from(errno as i32).unwrap_or(u8::MAX))
}

fn c(text: &str) -> CString {
    CString::new(text).unwrap()
}

fn text(text: &str) -> Argument {
    Argument::Text(c(text))
}

fn number(number: i64) -> Argument {
    Argument::Number(number)
}

fn numbers<const N: usize>(numbers: [i64; N]) -> Vec<Argument> {
    numbers.into_iter().map(number).collect()
}

fn block() -> Argument {
    Argument::Block(Box::new([0; 64]))
}

fn anonymous(protection: libc::c_int) -> Vec<Argument> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    numbers([0, 4096, protection.into(), flags.into(), -1, 0])
}

fn fd_of(file: &Option<File>) -> i64 {
    file.as_ref().map_or(-1, |file| file.as_raw_fd().into())
}

const PROGRAM: &str = "/confined";
const WRITABLE: &str = "/data/writable";
const ABSTRACT: &[u8] = b"fluxheim-test";
const EMPTY_PATH: i64 = libc::AT_EMPTY_PATH as i64;
