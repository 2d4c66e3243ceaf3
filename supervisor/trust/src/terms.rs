//! For whom files are judged, and what is taken on trust.
//!
//! Owns the few things that the rules depend on besides the files themselves.

use std::sync::atomic::{AtomicBool, Ordering};

use fluxheim_config::{AdvisoryFilesystem, Config};

use crate::identity::Identity;
use crate::overflow;

/// For whom files are judged, and what is taken on trust.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// Under which ids the files are used.
    pub identity: Identity,
    /// Under which ids the configuration was read, which may be root before it becomes somebody else.
    pub config_reader: Identity,
    /// Filesystems whose access rules the operator vouches for.
    pub trusted_filesystems: Vec<AdvisoryFilesystem>,
}

impl Terms {
    /// Those of a configuration that this process has read, for files that `identity` will use.
    #[must_use]
    pub fn of(config: &Config, identity: Identity) -> Self {
        Self {
            identity,
            config_reader: Identity::current(),
            trusted_filesystems: config.storage.trusted_filesystems.clone(),
        }
    }

    /// Nothing taken on trust.
    #[must_use]
    pub fn strict(identity: Identity) -> Self {
        Self { config_reader: identity.clone(), identity, trusted_filesystems: Vec::new() }
    }
}

/// The rules, for one service user.
#[derive(Debug)]
pub(crate) struct Judge<'a> {
    pub(crate) identity: &'a Identity,
    pub(crate) trusted_filesystems: &'a [AdvisoryFilesystem],
    /// What the kernel shows for owners that this user namespace has no number for.
    /// `None` where the service user itself has that number, and every number is somebody.
    pub(crate) overflow_uid: Option<u32>,
    /// Whether this process is that user: then the kernel itself tells what may be crossed.
    pub(crate) is_self: bool,
    /// Set when nobody waits for the work any more: then nothing may be changed.
    abandoned: Option<&'a AtomicBool>,
}

impl<'a> Judge<'a> {
    /// For files that are used.
    pub(crate) fn new(terms: &'a Terms) -> Self {
        Self::of(&terms.identity, &terms.trusted_filesystems)
    }

    /// For the configuration.
    pub(crate) fn of_config(terms: &'a Terms) -> Self {
        Self::of(&terms.config_reader, &terms.trusted_filesystems)
    }

    fn of(identity: &'a Identity, trusted_filesystems: &'a [AdvisoryFilesystem]) -> Self {
        let is_self = *identity == Identity::current();
        Self {
            identity,
            trusted_filesystems,
            overflow_uid: overflow::stands_for_nobody(identity.uid),
            is_self,
            abandoned: None,
        }
    }

    /// The same, for as long as somebody waits.
    pub(crate) const fn until(self, abandoned: &'a AtomicBool) -> Self {
        Self { abandoned: Some(abandoned), ..self }
    }

    /// Whether nobody waits for the work any more.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.abandoned.is_some_and(|abandoned| abandoned.load(Ordering::Acquire))
    }
}
