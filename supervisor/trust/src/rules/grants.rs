//! Who beside its owner can do what with a file, from mode bits and ACL together.
//!
//! Owns that one question; what may be granted is for the rules. Follows acl(5): with an ACL, the
//! group bits of the mode are its mask, and say nothing of the group itself.

use std::fmt;

use crate::acl::{Entry, Who};
use crate::node::{AclSeen, Facts};

/// Somebody beside the owner who can do something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Grant {
    pub who: Grantee,
    /// `rwx` as three bits; at least one is set.
    pub bits: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Grantee {
    User(u32),
    /// The group of the file.
    Group(u32),
    /// A group that only the ACL names.
    OtherGroup(u32),
    Everyone,
}

pub(super) const READ: u32 = 0o4;
pub(super) const WRITE: u32 = 0o2;

impl Grant {
    pub(super) const fn can(self, bits: u32) -> bool {
        self.bits & bits != 0
    }

    /// Whether only an ACL can have granted it.
    pub(super) const fn is_by_acl(self) -> bool {
        matches!(self.who, Grantee::User(_) | Grantee::OtherGroup(_))
    }
}

/// `user 1234 (rw-)`
impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.who {
            Grantee::User(id) => write!(f, "user {id}")?,
            Grantee::Group(id) => write!(f, "its group {id}")?,
            Grantee::OtherGroup(id) => write!(f, "group {id}")?,
            Grantee::Everyone => f.write_str("every user")?,
        }
        let letter = |bit, letter| if self.can(bit) { letter } else { '-' };
        write!(f, " ({}{}{})", letter(READ, 'r'), letter(WRITE, 'w'), letter(0o1, 'x'))
    }
}

/// Everybody beside the owner who can do anything.
pub(super) fn grants(facts: &Facts, acl: &AclSeen) -> Vec<Grant> {
    match acl.entries() {
        Some(acl) => acl.grants().filter_map(|entry| named(entry, facts)).collect(),
        // Where an ACL may be that can't be read, the group bits bound what it grants.
        None => [(Grantee::Group(facts.gid), facts.mode >> 3 & 0o7), (Grantee::Everyone, facts.mode & 0o7)]
            .into_iter()
            .filter(|(_, bits)| *bits != 0)
            .map(|(who, bits)| Grant { who, bits })
            .collect(),
    }
}

/// An entry of an ACL as a grant; `None` for the owner's.
pub(super) fn named(entry: Entry, facts: &Facts) -> Option<Grant> {
    let who = match entry.who {
        Who::Owner => return None,
        Who::User(id) => Grantee::User(id),
        Who::OwningGroup => Grantee::Group(facts.gid),
        Who::Group(id) => Grantee::OtherGroup(id),
        Who::Other => Grantee::Everyone,
    };
    Some(Grant { who, bits: entry.rights.bits() })
}

/// `its group 100 (r--) and every user (r--)`
pub(super) fn listed(grants: &[Grant]) -> String {
    let names: Vec<_> = grants.iter().take(MOST_NAMED).map(Grant::to_string).collect();
    let more = grants.len().saturating_sub(MOST_NAMED);
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    match names.as_slice() {
        [head @ .., last] if more == 0 && !head.is_empty() => format!("{} and {last}", head.join(", ")),
        names => format!("{}{rest}", names.join(", ")),
    }
}

const MOST_NAMED: usize = 8;
