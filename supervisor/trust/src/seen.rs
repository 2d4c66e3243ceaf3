//! What a report says of an object that was reached, whatever is wrong with it.
//!
//! Owns the facts in the form that reports print; judges nothing.

use std::fmt;
use std::path::PathBuf;

use crate::delivery::{Delivery, DeliveryKind};
use crate::finding::Shown;
use crate::mount::Mount;
use crate::node::{AclSeen, Facts};
use crate::walk::Passed;

/// Facts of an object, of its mount and of the links that led to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// `file`, `folder`, `fifo` and the like.
    pub kind: &'static str,
    /// The twelve mode bits.
    pub mode: u32,
    /// The same as ls(1) shows them, without the type.
    pub mode_text: String,
    /// Numbers, as this process sees them.
    pub uid: u32,
    pub gid: u32,
    /// Bytes.
    pub size: u64,
    /// Names of the inode.
    pub hard_links: u64,
    /// As getfacl(1) shows it; `None` without one.
    pub acl: Option<String>,
    pub mount: MountSeen,
    /// Every link of the way, with what it says.
    pub links: Vec<(PathBuf, PathBuf)>,
    pub delivery: Option<DeliverySeen>,
    /// How many files and folders were judged below it; `None` for what nothing is below.
    pub entries: Option<usize>,
}

/// On what an object lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountSeen {
    pub filesystem: String,
    pub point: PathBuf,
    /// `ro`, `nosuid`, `nodev`, `noexec`, as far as they are set.
    pub flags: Vec<&'static str>,
    /// Whether the object itself is what is mounted.
    pub is_object: bool,
}

/// How it was delivered, and how that was recognised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliverySeen {
    pub kind: DeliveryKind,
    pub evidence: Vec<String>,
}

impl Seen {
    pub(crate) fn new(facts: &Facts, mount: &Mount, passed: &[Passed], delivery: Option<&Delivery>) -> Self {
        let links = passed.iter().filter_map(|passed| match passed {
            Passed::Link { path, target } => Some((path.clone(), target.clone())),
            Passed::Folder { .. } => None,
        });
        Self {
            kind: facts.kind.id(),
            mode: facts.mode,
            mode_text: facts.letters(),
            uid: facts.uid,
            gid: facts.gid,
            size: facts.size,
            hard_links: facts.links,
            acl: None,
            mount: MountSeen {
                filesystem: mount.filesystem.to_string(),
                point: mount.point.clone(),
                flags: mount.flags.clone(),
                is_object: facts.mount_root,
            },
            links: links.collect(),
            delivery: delivery
                .map(|delivery| DeliverySeen { kind: delivery.kind, evidence: delivery.evidence.clone() }),
            entries: None,
        }
    }

    /// The same with the facts of the very descriptor that was opened.
    pub(crate) fn of_file(mut self, facts: &Facts, acl: &AclSeen) -> Self {
        self.set_facts(facts);
        self.set_acl(acl);
        self
    }

    fn set_facts(&mut self, facts: &Facts) {
        self.mode = facts.mode;
        self.mode_text = facts.letters();
        (self.uid, self.gid) = (facts.uid, facts.gid);
        (self.size, self.hard_links) = (facts.size, facts.links);
    }

    pub(crate) fn set_acl(&mut self, acl: &AclSeen) {
        self.acl = acl.entries().map(ToString::to_string);
    }
}

/// `mode 0600 (rw-------), owner 65532:65532`
impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mode {:04o} ({}), owner {}:{}", self.mode, self.mode_text, self.uid, self.gid)
    }
}

/// `tmpfs at /run/secrets (ro,nosuid)`
impl fmt::Display for MountSeen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.filesystem, Shown(&self.point))?;
        if self.flags.is_empty() { Ok(()) } else { write!(f, " ({})", self.flags.join(",")) }
    }
}
