//! Evidence as a well set up container gives it; tests change one thing each.

use crate::apply::Baseline;
use crate::confine::Trial;
use crate::confine::landlock::{LandlockAttempt, Restricted};
use crate::evidence::{Evidence, Swap};
use crate::parse::{Caps, CorePattern, Limit, Seccomp, Status};
use crate::proxy::{Dumpable, FilterAttempt, FilterReport, LockAttempt, OpenFds, ProxyReport, SCHEMA};

pub(crate) fn proxy_report() -> ProxyReport {
    ProxyReport {
        schema: SCHEMA,
        secrets: false,
        dumpable: Dumpable { set_failed: None, value: Ok(0) },
        memory_lock: LockAttempt::Locked("RLIMIT_MEMLOCK is unlimited".into()),
        fds: OpenFds::Unexpected(vec![]),
        securebits: Ok(0),
        mdwe: Ok(1),
        personality: Ok(0),
        read_only_root: Ok(true),
        environment: vec![],
        landlock: LandlockAttempt::Restricted(restricted()),
        seccomp: FilterReport {
            attempt: FilterAttempt::Installed,
            execve_before: libc::EFAULT,
            exec_after: [libc::ENOSYS; 2],
        },
    }
}

pub(crate) fn restricted() -> Restricted {
    let denied = |what: &str, errno| Trial { what: what.to_owned(), before: None, after: Some(errno) };
    Restricted {
        abi: 7,
        files: denied("opening /", libc::EACCES),
        ports: denied("binding TCP port 65535", libc::EACCES),
        signals: denied("a signal to the parent", libc::EPERM),
        writes: vec![],
    }
}

pub(crate) fn status() -> Status {
    Status {
        uid: [65532; 4],
        gid: [65532; 4],
        groups: vec![],
        umask: 0o077,
        mapped_kib: 860,
        locked_kib: 840,
        caps: Caps { bounding: 0xa804_25fb, ..Caps::default() },
        no_new_privs: true,
        seccomp: Seccomp { mode: 2, filters: Some(3) },
        tracer: 0,
    }
}

pub(crate) fn evidence() -> Evidence {
    Evidence {
        pid: 7,
        proc_flaw: None,
        kernel: Ok("6.1.0".into()),
        status: Ok(status()),
        core_limit: Ok(Limit { soft: Some(0), hard: Some(0) }),
        coredump_filter: Ok(0),
        core_pattern: Ok(CorePattern::File("core".into())),
        owner: Ok(0),
        overflow_uid: 65534,
        swap: Swap { devices: Ok(vec![]), cgroup: None },
        randomised: Ok(2),
        ptrace_scope: Ok(1),
        initial_namespace: Ok(true),
        own_tracer: Ok(0),
        proxy: proxy_report(),
        baseline: Baseline {
            uid: Some(65532),
            seccomp: Some(Seccomp { mode: 2, filters: Some(1) }),
            securebits: Some(0),
            mdwe: Some(0),
            personality: Some(0),
            ..Baseline::default()
        },
        failures: vec![],
    }
}

/// The stop budget of the defaults.
pub(crate) fn server() -> fluxheim_config::Server {
    let text = "[server]\nhttp = [\"0.0.0.0:8080\"]\n".to_owned();
    fluxheim_config::parse(&[fluxheim_config::Source { path: "f".into(), text }]).unwrap().server
}
