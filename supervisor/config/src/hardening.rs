//! Names of hardening controls, levels and profiles, and which profile asks what.
//!
//! Owns the vocabulary of `[hardening]`; applies and reads nothing (that is `fluxheim-posture`).

/// One hardening measure, by the name it has in the configuration and in reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Control {
    CoreDumps,
    CoredumpFilter,
    Dumpable,
    NoSwap,
    MemoryLock,
    Capabilities,
    Securebits,
    NoNewPrivs,
    Mdwe,
    Seccomp,
    Landlock,
    Identity,
    Fds,
    Umask,
    Environment,
    ReadOnlyRoot,
    Storage,
    Aslr,
    PtraceScope,
    StopBudget,
}

impl Control {
    /// Every control, in the order reports list them.
    pub const ALL: [Self; 20] = [
        Self::CoreDumps,
        Self::CoredumpFilter,
        Self::Dumpable,
        Self::NoSwap,
        Self::MemoryLock,
        Self::Capabilities,
        Self::Securebits,
        Self::NoNewPrivs,
        Self::Mdwe,
        Self::Seccomp,
        Self::Landlock,
        Self::Identity,
        Self::Fds,
        Self::Umask,
        Self::Environment,
        Self::ReadOnlyRoot,
        Self::Storage,
        Self::Aslr,
        Self::PtraceScope,
        Self::StopBudget,
    ];

    /// The name in configuration and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::CoreDumps => "core_dumps",
            Self::CoredumpFilter => "coredump_filter",
            Self::Dumpable => "dumpable",
            Self::NoSwap => "no_swap",
            Self::MemoryLock => "memory_lock",
            Self::Capabilities => "capabilities",
            Self::Securebits => "securebits",
            Self::NoNewPrivs => "no_new_privs",
            Self::Mdwe => "mdwe",
            Self::Seccomp => "seccomp",
            Self::Landlock => "landlock",
            Self::Identity => "identity",
            Self::Fds => "fds",
            Self::Umask => "umask",
            Self::Environment => "environment",
            Self::ReadOnlyRoot => "read_only_root",
            Self::Storage => "storage",
            Self::Aslr => "aslr",
            Self::PtraceScope => "ptrace_scope",
            Self::StopBudget => "stop_budget",
        }
    }

    /// The control of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|control| control.name() == name)
    }
}

/// How much a control matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Neither applied nor read.
    Off,
    /// Read and reported, not applied.
    Observe,
    /// Applied where possible; a failure is a warning.
    BestEffort,
    /// Applied; anything but success refuses the start with exit code 78.
    Required,
}

impl Level {
    /// Every level, weakest first.
    pub const ALL: [Self; 4] = [Self::Off, Self::Observe, Self::BestEffort, Self::Required];

    /// The name in configuration and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Observe => "observe",
            Self::BestEffort => "best_effort",
            Self::Required => "required",
        }
    }

    /// The level of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.name() == name)
    }
}

/// A named choice of levels for one kind of environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// A container as Docker and Podman start it. The default.
    Container,
    /// A container started as uid 0, which is given up before anything is judged.
    DockerRoot,
    /// A pod under the Pod Security Standard *restricted*.
    K8sRestricted,
    /// Docker or Podman without root: uid 0, if at all, is a plain user of the host.
    Rootless,
    /// Everything that any environment can give is required, memory_lock included.
    Strict,
}

impl Profile {
    /// Every profile.
    pub const ALL: [Self; 5] =
        [Self::Container, Self::DockerRoot, Self::K8sRestricted, Self::Rootless, Self::Strict];

    /// The name in configuration and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Container => "container",
            Self::DockerRoot => "docker-root",
            Self::K8sRestricted => "k8s-restricted",
            Self::Rootless => "rootless",
            Self::Strict => "strict",
        }
    }

    /// The profile of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|profile| profile.name() == name)
    }

    /// What this profile asks of `control` when the file does not say.
    ///
    /// Every profile asks for one of `no_swap` and `memory_lock` where there are secrets; all but
    /// `strict` for each alone by best effort.
    #[must_use]
    pub const fn level(self, control: Control) -> Level {
        match (self, control) {
            // A plain user can't set them; only a start as uid 0 can, and there they matter.
            (Self::DockerRoot, Control::Securebits) => Level::Required,
            (_, Control::Securebits) => Level::BestEffort,
            // One uid may be all that is mapped, and that one is a plain user of the host.
            (Self::Rootless, Control::Identity) => Level::BestEffort,
            (Self::Strict, _) => Level::Required,
            // Newer kernels and runtimes have them (Linux 5.13, 6.3), others start all the same.
            (_, Control::Landlock | Control::Mdwe) => Level::BestEffort,
            // Only the host, or whoever starts the container, can give these.
            (
                _,
                Control::NoSwap
                | Control::MemoryLock
                | Control::Environment
                | Control::ReadOnlyRoot
                | Control::Aslr
                | Control::PtraceScope,
            ) => Level::BestEffort,
            _ => Level::Required,
        }
    }

    /// Why `control` can't be required under this profile, and what to write instead.
    pub(crate) const fn impossible(self, control: Control) -> Option<(&'static str, &'static str)> {
        match (self, control) {
            (Self::K8sRestricted, Control::MemoryLock) => Some((
                "no pod field raises RLIMIT_MEMLOCK, and the standard forbids IPC_LOCK",
                "ask for the same outcome with no_swap = \"required\", or, on nodes whose container runtime has \
                 LimitMEMLOCK=infinity, use profile = \"container\"",
            )),
            (Self::K8sRestricted, Control::Securebits) => Some((
                "a pod that may not run as root can't set securebits",
                "leave it out: no_new_privs and capabilities already keep uid 0's powers away",
            )),
            _ => None,
        }
    }
}
