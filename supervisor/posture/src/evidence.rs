//! What init reads of the started proxy and of the system, for judging.
//!
//! Owns which file answers for which control; draws no conclusion. See proc(5), cgroups(7).

use nix::unistd::Pid;

use crate::apply::{Baseline, CORE_PATTERN, Failure};
use crate::kernel::{self, Unread};
use crate::parse::{self, CgroupPaths, CorePattern, Limit, Status, SwapMax, V1Limit};
use crate::proxy::{OpenFds, ProxyReport};

/// Everything a judgement needs; values only, so that judging is pure.
#[derive(Debug, Clone)]
pub struct Evidence {
    pub(crate) pid: i32,
    /// Why /proc doesn't answer, if it doesn't.
    pub(crate) proc_flaw: Option<ProcFlaw>,
    /// The release of the running kernel; tells what it can have, proves nothing.
    pub(crate) kernel: Result<String, Unread>,
    pub(crate) status: Result<Status, Unread>,
    pub(crate) core_limit: Result<Limit, Unread>,
    pub(crate) coredump_filter: Result<u64, Unread>,
    pub(crate) core_pattern: Result<CorePattern, Unread>,
    /// The owner of /proc/PID/status: root for a process that isn't dumpable. The folder /proc/PID
    /// itself keeps the process's own uid either way.
    pub(crate) owner: Result<u32, Unread>,
    /// What ids that have no name in this user namespace look like.
    pub(crate) overflow_uid: u32,
    pub(crate) swap: Swap,
    /// kernel.randomize_va_space: 2 is everything.
    pub(crate) randomised: Result<u32, Unread>,
    /// kernel.yama.ptrace_scope; missing where Yama isn't among the security modules.
    pub(crate) ptrace_scope: Result<u32, Unread>,
    /// Whether uid 0 here is uid 0 of the host.
    pub(crate) initial_namespace: Result<bool, Unread>,
    /// Who traces this process, which gives the verdict.
    pub(crate) own_tracer: Result<u32, Unread>,
    pub(crate) proxy: ProxyReport,
    pub(crate) baseline: Baseline,
    pub(crate) failures: Vec<Failure>,
}

/// What is wrong with the whole of /proc.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProcFlaw {
    /// It is none, or that of another pid namespace.
    Foreign,
    /// It shows a process to its own user only, or not at all (hidepid).
    Hidden,
}

/// Swap of the host and of our cgroup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Swap {
    pub(crate) devices: Result<Vec<String>, Unread>,
    /// `None` when no swap limit is visible.
    pub(crate) cgroup: Option<CgroupSwap>,
}

/// A swap limit, and the folder it stands in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CgroupSwap {
    V2 { folder: String, max: SwapMax },
    V1 { folder: String, memory: V1Limit, with_swap: V1Limit },
}

impl CgroupSwap {
    /// Whether nothing in that cgroup can be swapped out; version 1 has no limit that says so.
    pub(crate) fn bars(&self) -> bool {
        matches!(self, Self::V2 { max: SwapMax::Bytes(0), .. })
    }

    /// Whether the cgroup can't swap on its own account, but the host may swap it out.
    pub(crate) fn bars_in_part(&self) -> bool {
        matches!(self, Self::V1 { memory, with_swap, .. } if memory.leaves_no_allowance(*with_swap))
    }
}

impl Evidence {
    /// Reads the process `pid`, whose own account is `proxy`.
    ///
    /// `baseline` is from before anything was applied; `failures` are those met while applying.
    #[must_use]
    pub fn read(pid: Pid, proxy: ProxyReport, baseline: Baseline, failures: Vec<Failure>) -> Self {
        let mut seen = Self::as_shown(pid.as_raw(), proxy, baseline, failures);
        if let Err(unread) = kernel::check_proc() {
            seen.disbelieve(&unread);
        } else if seen.owner.is_err() && seen.own_tracer.is_ok() {
            // Our own file is there, that of a process we have just started isn't.
            seen.proc_flaw = Some(ProcFlaw::Hidden);
        }
        seen
    }

    fn as_shown(pid: i32, proxy: ProxyReport, baseline: Baseline, failures: Vec<Failure>) -> Self {
        Self {
            pid,
            proc_flaw: None,
            kernel: kernel::parsed("/proc/sys/kernel/osrelease", parse::release),
            status: kernel::parsed(&format!("/proc/{pid}/status"), Status::parse),
            core_limit: kernel::parsed(&format!("/proc/{pid}/limits"), parse::core_limit),
            coredump_filter: kernel::parsed(&format!("/proc/{pid}/coredump_filter"), parse::coredump_filter),
            core_pattern: kernel::parsed(CORE_PATTERN, parse::core_pattern),
            owner: kernel::owner(&format!("/proc/{pid}/status")),
            overflow_uid: kernel::parsed("/proc/sys/kernel/overflowuid", |text| text.trim_end().parse().ok())
                .unwrap_or(OVERFLOW_UID),
            swap: Swap {
                devices: kernel::parsed("/proc/swaps", parse::swap_devices),
                cgroup: cgroup_swap(&format!("/proc/{pid}/cgroup")),
            },
            randomised: kernel::parsed("/proc/sys/kernel/randomize_va_space", parse::sysctl),
            ptrace_scope: kernel::parsed("/proc/sys/kernel/yama/ptrace_scope", parse::sysctl),
            initial_namespace: kernel::parsed("/proc/self/uid_map", parse::uid_map_is_initial),
            own_tracer: kernel::parsed("/proc/self/status", Status::parse).map(|status| status.tracer),
            proxy,
            baseline,
            failures,
        }
    }
}

impl Evidence {
    /// Drops whatever came from /proc: it is about other processes. The proxy read its descriptors
    /// in the same one.
    fn disbelieve(&mut self, unread: &Unread) {
        self.proc_flaw = Some(ProcFlaw::Foreign);
        self.kernel = Err(unread.clone());
        self.status = Err(unread.clone());
        self.core_limit = Err(unread.clone());
        self.coredump_filter = Err(unread.clone());
        self.core_pattern = Err(unread.clone());
        self.owner = Err(unread.clone());
        self.swap = Swap { devices: Err(unread.clone()), cgroup: None };
        self.randomised = Err(unread.clone());
        self.ptrace_scope = Err(unread.clone());
        self.initial_namespace = Err(unread.clone());
        self.own_tracer = Err(unread.clone());
        self.proxy.fds = OpenFds::Unknown(unread.to_string());
    }
}

/// The limit that bars swap if any does, else one that does in part, else the nearest one seen. A cgroup is also bound by
/// those above it, as far up as they are visible.
fn cgroup_swap(list: &str) -> Option<CgroupSwap> {
    let paths = kernel::parsed(list, CgroupPaths::parse).ok()?;
    let mut seen = Vec::new();
    for mount in ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"] {
        seen.extend(folders(mount, paths.v2.as_deref()).into_iter().filter_map(v2_limit));
    }
    seen.extend(
        folders("/sys/fs/cgroup/memory", paths.v1_memory.as_deref()).into_iter().filter_map(v1_limit),
    );
    strictest(seen)
}

fn strictest(seen: Vec<CgroupSwap>) -> Option<CgroupSwap> {
    let barring = seen.iter().position(CgroupSwap::bars);
    let strictest = barring.or_else(|| seen.iter().position(CgroupSwap::bars_in_part)).unwrap_or(0);
    seen.into_iter().nth(strictest)
}

/// `path` below `mount` and the folders above it, innermost first.
///
/// A path with `..` lies outside what this cgroup namespace shows, so it names nothing here.
fn folders(mount: &str, path: Option<&str>) -> Vec<String> {
    let Some(path) = path.filter(|path| !path.split('/').any(|part| part == "..")) else { return Vec::new() };
    let mut rest = path.trim_end_matches('/');
    let mut folders = Vec::new();
    loop {
        folders.push(format!("{mount}{rest}"));
        match rest.rfind('/') {
            Some(end) => rest = &rest[..end],
            None => return folders,
        }
    }
}

fn v2_limit(folder: String) -> Option<CgroupSwap> {
    let max = kernel::parsed(&format!("{folder}/memory.swap.max"), SwapMax::parse).ok()?;
    Some(CgroupSwap::V2 { folder, max })
}

fn v1_limit(folder: String) -> Option<CgroupSwap> {
    let memory = kernel::parsed(&format!("{folder}/memory.limit_in_bytes"), V1Limit::parse).ok()?;
    let with_swap = kernel::parsed(&format!("{folder}/memory.memsw.limit_in_bytes"), V1Limit::parse).ok()?;
    Some(CgroupSwap::V1 { folder, memory, with_swap })
}

/// The kernel's default, for the case that the sysctl is masked.
const OVERFLOW_UID: u32 = 65534;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn walks_from_the_own_cgroup_to_the_root_of_the_mount() {
        assert_eq!(folders("/m", Some("/a/b")), ["/m/a/b", "/m/a", "/m"]);
        assert_eq!(folders("/m", Some("/")), ["/m"]);
        assert!(folders("/m", Some("/../other")).is_empty());
        assert!(folders("/m", None).is_empty());
    }

    #[test]
    fn a_limit_that_bars_counts_before_one_that_does_in_part_before_the_nearest() {
        let v2 = |max| CgroupSwap::V2 { folder: "/m".into(), max };
        let (memory, with_swap) = (V1Limit(1 << 29), V1Limit(1 << 29));
        let in_part = CgroupSwap::V1 { folder: "/m".into(), memory, with_swap };
        let (none, bars) = (v2(SwapMax::Unlimited), v2(SwapMax::Bytes(0)));
        assert_eq!(strictest(vec![none.clone(), in_part.clone(), bars.clone()]), Some(bars));
        assert_eq!(strictest(vec![none.clone(), in_part.clone()]), Some(in_part));
        assert_eq!(strictest(vec![none.clone(), v2(SwapMax::Bytes(1))]), Some(none));
        assert_eq!(strictest(vec![]), None);
    }

    #[test]
    fn nothing_from_a_foreign_proc_is_believed() {
        let mut seen = crate::judge::samples::evidence();
        seen.disbelieve(&Unread::unparsable("/proc"));
        assert!(seen.kernel.is_err());
        assert!(seen.status.is_err() && seen.core_limit.is_err() && seen.coredump_filter.is_err());
        assert!(seen.core_pattern.is_err() && seen.owner.is_err() && seen.swap.devices.is_err());
        assert!(matches!(seen.proxy.fds, OpenFds::Unknown(_)));
        assert_eq!(seen.proc_flaw, Some(ProcFlaw::Foreign));
    }

    #[test]
    fn reads_itself() {
        let proxy = crate::judge::samples::proxy_report();
        let seen = Evidence::read(Pid::this(), proxy, Baseline::read(), vec![]);
        let release = std::process::Command::new("uname").arg("-r").output();
        let release = release.expect("uname is missing: apt-get install coreutils").stdout;
        assert_eq!(seen.kernel.as_ref().unwrap(), String::from_utf8(release).unwrap().trim_end());
        assert!(seen.status.is_ok() && seen.core_limit.is_ok() && seen.coredump_filter.is_ok(), "{seen:?}");
        assert!(seen.core_pattern.is_ok() && seen.owner.is_ok() && seen.swap.devices.is_ok(), "{seen:?}");
    }
}
