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
    NoNewPrivs,
    Fds,
    Umask,
    Storage,
}

impl Control {
    /// Every control, in the order reports list them.
    pub const ALL: [Self; 10] = [
        Self::CoreDumps,
        Self::CoredumpFilter,
        Self::Dumpable,
        Self::NoSwap,
        Self::MemoryLock,
        Self::Capabilities,
        Self::NoNewPrivs,
        Self::Fds,
        Self::Umask,
        Self::Storage,
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
            Self::NoNewPrivs => "no_new_privs",
            Self::Fds => "fds",
            Self::Umask => "umask",
            Self::Storage => "storage",
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
    /// Everything that any environment can give is required, memory_lock included.
    Strict,
}

impl Profile {
    /// Every profile.
    pub const ALL: [Self; 2] = [Self::Container, Self::Strict];

    /// The name in configuration and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Container => "container",
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
    /// `container` asks for one of `no_swap` and `memory_lock` (see
    /// [`Profile::wants_swap_outcome`]), so each alone is best effort there.
    #[must_use]
    pub const fn level(self, control: Control) -> Level {
        match (self, control) {
            (Self::Container, Control::NoSwap | Control::MemoryLock) => Level::BestEffort,
            (Self::Container | Self::Strict, _) => Level::Required,
        }
    }

    /// Whether secrets must be kept from swap by `no_swap` or `memory_lock`, whichever holds.
    #[must_use]
    pub const fn wants_swap_outcome(self) -> bool {
        matches!(self, Self::Container | Self::Strict)
    }
}
