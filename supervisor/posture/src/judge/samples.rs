//! Evidence as a well set up container gives it; tests change one thing each.

use crate::apply::Baseline;
use crate::evidence::{Evidence, Swap};
use crate::parse::{Caps, CorePattern, Limit, Status};
use crate::proxy::{Dumpable, LockAttempt, OpenFds, ProxyReport, SCHEMA};

pub(crate) fn proxy_report() -> ProxyReport {
    ProxyReport {
        schema: SCHEMA,
        secrets: false,
        dumpable: Dumpable { set_failed: None, value: Ok(0) },
        memory_lock: LockAttempt::Locked("RLIMIT_MEMLOCK is unlimited".into()),
        fds: OpenFds::Unexpected(vec![]),
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
        proxy: proxy_report(),
        baseline: Baseline::default(),
        failures: vec![],
    }
}
