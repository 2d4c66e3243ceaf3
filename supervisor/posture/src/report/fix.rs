//! What to change where, per control and runtime: the mending lines of a report.
//!
//! Owns the advice; docs/hardening.md repeats it and a test compares the two.

use fluxheim_config::Control;
use serde::Serialize;

use crate::evidence::ProcFlaw;

/// Who starts the container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Runtime {
    Docker,
    Podman,
    Kubernetes,
}

impl Runtime {
    /// Every runtime, in the order of the lines.
    pub const ALL: [Self; 3] = [Self::Docker, Self::Podman, Self::Kubernetes];

    /// The name people know it by.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Docker => "Docker",
            Self::Podman => "Podman",
            Self::Kubernetes => "Kubernetes",
        }
    }
}

/// One line of advice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Fix {
    pub runtime: Runtime,
    pub line: &'static str,
}

/// The advice for a control, one line per runtime.
pub(crate) fn lines(control: Control) -> Vec<Fix> {
    three(match control {
        Control::CoreDumps => [
            "--ulimit core=0:0 (core=1:1 where the host's core_pattern is a pipe)",
            "--ulimit core=0:0 (core=1:1 where the host's core_pattern is a pipe)",
            "set LimitCORE=0 in containerd's unit on the node (1 where core_pattern is a pipe)",
        ],
        Control::CoredumpFilter => [
            "leave /proc/self writable: no --security-opt that denies /proc/self/coredump_filter",
            "leave /proc/self writable: no --security-opt that denies /proc/self/coredump_filter",
            "use the default AppArmor or SELinux profile; a custom one must allow /proc/self/coredump_filter",
        ],
        Control::Dumpable => [
            "use the image's own /fluxheim (root-owned, mode 0111) and no seccomp profile that denies prctl",
            "use the image's own /fluxheim (root-owned, mode 0111) and no seccomp profile that denies prctl",
            "use the image's own /fluxheim and seccompProfile.type: RuntimeDefault",
        ],
        Control::NoSwap => [
            "--memory=512m --memory-swap=512m (cgroup v2: equal values leave no swap), or swapoff -a on the host",
            "--memory=512m --memory-swap=512m (cgroup v2: equal values leave no swap), or swapoff -a on the host",
            "run on nodes without swap, or with the kubelet's memorySwap.swapBehavior: NoSwap (the default)",
        ],
        Control::MemoryLock => [
            "--ulimit memlock=-1:-1",
            "--ulimit memlock=-1:-1 (rootless: raise the user's own limit first, LimitMEMLOCK=infinity)",
            "no pod field exists: ask for no_swap instead, or set LimitMEMLOCK=infinity in containerd's unit",
        ],
        Control::Capabilities => [
            "--cap-drop=ALL --user 65532:65532",
            "--cap-drop=ALL --user 65532:65532",
            "securityContext: { runAsNonRoot: true, runAsUser: 65532, capabilities: { drop: [ALL] } }",
        ],
        Control::Securebits => [
            "start as root, which profile docker-root is for: --user 0, and beside --cap-drop ALL --cap-add SETPCAP --cap-add SETUID --cap-add SETGID",
            "start as root, which profile docker-root is for: --user 0, and beside --cap-drop ALL --cap-add SETPCAP --cap-add SETUID --cap-add SETGID",
            "not possible in a pod that may not run as root; no_new_privs and capabilities keep uid 0's powers away",
        ],
        Control::Mdwe => [
            "a host with Linux 6.3 or newer, and no seccomp profile that denies prctl",
            "a host with Linux 6.3 or newer, and no seccomp profile that denies prctl",
            "nodes with Linux 6.3 or newer, and seccompProfile.type: RuntimeDefault",
        ],
        Control::Seccomp => [
            "no seccomp profile that denies seccomp or prctl; a host kernel with CONFIG_SECCOMP_FILTER",
            "no seccomp profile that denies seccomp or prctl; a host kernel with CONFIG_SECCOMP_FILTER",
            "seccompProfile.type: RuntimeDefault, which allows further filters",
        ],
        Control::Landlock => [
            "a host with Linux 6.12 or newer and landlock in /sys/kernel/security/lsm; a seccomp profile that allows landlock_*, as that of recent engines does",
            "a host with Linux 6.12 or newer and landlock in /sys/kernel/security/lsm",
            "nodes with Linux 6.12 or newer, landlock among their security modules, and seccompProfile.type: RuntimeDefault",
        ],
        Control::Identity => [
            "--user 65532:65532 without --group-add; or --user 0 with --cap-add SETUID --cap-add SETGID beside --cap-drop ALL",
            "--user 65532:65532 without --group-add; or --user 0 with --cap-add SETUID --cap-add SETGID beside --cap-drop ALL",
            "securityContext: { runAsNonRoot: true, runAsUser: 65532, runAsGroup: 65532 }",
        ],
        Control::Environment => [
            "remove the variable: Fluxheim reads no secret from the environment; a key goes into a file, see storage",
            "remove the variable: Fluxheim reads no secret from the environment; a key goes into a file, see storage",
            "no env or envFrom of a Secret; for the variables of services, enableServiceLinks: false",
        ],
        Control::ReadOnlyRoot => {
            ["--read-only", "--read-only", "securityContext: { readOnlyRootFilesystem: true }"]
        }
        Control::Aslr => [
            "sysctl kernel.randomize_va_space=2 on the host; no setarch -R around the program",
            "sysctl kernel.randomize_va_space=2 on the host; no setarch -R around the program",
            "sysctl kernel.randomize_va_space=2 on the nodes",
        ],
        Control::PtraceScope => [
            "sysctl kernel.yama.ptrace_scope=1 on the host, or dumpable at required",
            "sysctl kernel.yama.ptrace_scope=1 on the host, or dumpable at required",
            "sysctl kernel.yama.ptrace_scope=1 on the nodes, or dumpable at required",
        ],
        Control::StopBudget => [
            "--stop-timeout as long as server.stop_timeout, which the drain must fit in",
            "--stop-timeout as long as server.stop_timeout, which the drain must fit in",
            "terminationGracePeriodSeconds as long as server.stop_timeout, preStop included",
        ],
        Control::NoNewPrivs => [
            "--security-opt no-new-privileges",
            "--security-opt no-new-privileges",
            "securityContext: { allowPrivilegeEscalation: false }",
        ],
        Control::Fds => [
            "no --preserve-fds or socket passing from the engine's own unit",
            "no --preserve-fds",
            "no hook or runtime wrapper that leaves descriptors open",
        ],
        Control::Umask => [
            "no seccomp profile that denies umask",
            "no seccomp profile that denies umask; --umask is overridden",
            "seccompProfile.type: RuntimeDefault",
        ],
        Control::Storage => [
            "what each finding names, on the host; for a key: chown 65532:65532 KEY && chmod 0600 KEY",
            "what each finding names, inside `podman unshare`; for a key: mount with :U, chmod 0600 KEY",
            "securityContext: { fsGroup: 65532 }, and for a key secret: { defaultMode: 0400 }, the volume mounted as a whole and readOnly: true; else what each finding names",
        ],
    })
}

/// The advice where /proc doesn't answer: the control itself isn't what has to change.
pub(crate) fn proc_lines(flaw: ProcFlaw) -> Vec<Fix> {
    three(match flaw {
        ProcFlaw::Foreign => ["mount a /proc of this pid namespace"; 3],
        ProcFlaw::Hidden => ["mount /proc without hidepid, or with gid= of a group of the service user"; 3],
    })
}

/// The two ways to keep secrets from swap.
pub(crate) fn swap_lines() -> Vec<Fix> {
    three([
        "either no swap: --memory=512m --memory-swap=512m (cgroup v2); or locked memory: --ulimit memlock=-1:-1",
        "either no swap: --memory=512m --memory-swap=512m (cgroup v2); or locked memory: --ulimit memlock=-1:-1",
        "either no swap: nodes with swapBehavior: NoSwap; or locked memory: LimitMEMLOCK=infinity in containerd's unit",
    ])
}

fn three(lines: [&'static str; 3]) -> Vec<Fix> {
    Runtime::ALL.into_iter().zip(lines).map(|(runtime, line)| Fix { runtime, line }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_handbook_repeats_every_line() {
        let handbook = include_str!("../../../../docs/hardening.md");
        for control in Control::ALL {
            for fix in lines(control).into_iter().chain(swap_lines()) {
                assert!(handbook.contains(fix.line), "docs/hardening.md lacks: {}", fix.line);
            }
        }
    }

    #[test]
    fn the_handbook_names_every_flaw_of_proc() {
        let handbook = include_str!("../../../../docs/hardening.md");
        for fix in [ProcFlaw::Foreign, ProcFlaw::Hidden].into_iter().flat_map(proc_lines) {
            assert!(handbook.contains(fix.line), "docs/hardening.md lacks: {}", fix.line);
        }
    }

    #[test]
    fn the_handbook_has_a_section_per_control() {
        let handbook = include_str!("../../../../docs/hardening.md");
        for control in Control::ALL {
            assert!(handbook.contains(&format!("### `{}`", control.name())), "{}", control.name());
        }
    }
}
