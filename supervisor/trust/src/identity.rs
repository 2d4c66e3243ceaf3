//! The ids on whose behalf files are judged.
//!
//! Owns the permission arithmetic of mode bits, and asks the ACL where there is one; knows no
//! capabilities. Follows credentials(7), path_resolution(7) and acl(5).

use crate::acl::Rights;
use crate::node::{AclSeen, Facts};

/// The service user: the ids under which the files are used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// User id; root is judged more strictly: everything must be its own.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    /// Supplementary group ids.
    pub groups: Vec<u32>,
}

impl Identity {
    /// The effective ids of this process.
    #[must_use]
    pub fn current() -> Self {
        // getgroups fails only if the list grew during the call; fewer groups judge more strictly.
        let groups = nix::unistd::getgroups().unwrap_or_default();
        Self {
            uid: nix::unistd::geteuid().as_raw(),
            gid: nix::unistd::getegid().as_raw(),
            groups: groups.into_iter().map(nix::unistd::Gid::as_raw).collect(),
        }
    }

    /// A user that is in its own group alone.
    #[must_use]
    pub const fn of(id: u32) -> Self {
        Self { uid: id, gid: id, groups: Vec::new() }
    }

    /// Whether what this user or root does needs no further trust.
    pub(crate) fn trusts_owner(&self, uid: u32) -> bool {
        uid == 0 || uid == self.uid
    }

    /// Whether it is a member of the group.
    pub(crate) fn is_in(&self, gid: u32) -> bool {
        self.gid == gid || self.groups.contains(&gid)
    }

    /// Whether mode and ACL let this user read.
    pub(crate) fn may_read(&self, facts: &Facts, acl: &AclSeen) -> bool {
        self.may(Rights::READ, facts, acl)
    }

    /// Whether mode and ACL let this user cross the folder.
    pub(crate) fn may_cross(&self, facts: &Facts, acl: &AclSeen) -> bool {
        self.may(Rights::EXECUTE, facts, acl)
    }

    fn may(&self, wanted: Rights, facts: &Facts, acl: &AclSeen) -> bool {
        if self.uid == 0 {
            return true;
        }
        match acl.entries() {
            Some(acl) => acl.allows(self, facts.uid, facts.gid, wanted),
            None => self.class_bits(facts) & wanted.bits() != 0,
        }
    }

    /// The first class that fits decides, even if a later one would allow more.
    fn class_bits(&self, facts: &Facts) -> u32 {
        if facts.uid == self.uid {
            facts.mode >> 6
        } else if self.is_in(facts.gid) {
            facts.mode >> 3
        } else {
            facts.mode
        }
    }
}
