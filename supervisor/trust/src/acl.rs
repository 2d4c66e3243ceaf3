//! POSIX access control lists: whom a file lets in beside what its mode shows.
//!
//! Owns the meaning of the attributes `system.posix_acl_access` and `system.posix_acl_default`, as
//! pure functions of their bytes; reads no file and judges nothing. Follows acl(5) and xattr(7), and
//! the kernel's fs/posix_acl.c and fs/namei.c where these are stricter or laxer.

mod parse;
mod show;

pub use parse::{Malformed, parse};

use std::ops::BitAnd;

use crate::Identity;

/// A valid list. Owner, owning group and others are in every one, so no value of this type lacks
/// them; a mask is there whenever somebody is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acl {
    owner: Rights,
    /// In the order of the file. The kernel takes one user twice, and then the first decides.
    users: Vec<(u32, Rights)>,
    owning_group: Rights,
    groups: Vec<(u32, Rights)>,
    mask: Option<Rights>,
    other: Rights,
}

/// One line of a list, apart from the mask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Who gets the rights.
    pub who: Who,
    /// Which.
    pub rights: Rights,
}

/// Whom an entry is about. The id 4294967295 is what the kernel gives for somebody who has no number
/// in the reader's user namespace: a real user or group all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// The file's owner.
    Owner,
    /// A user by number.
    User(u32),
    /// The file's group.
    OwningGroup,
    /// A group by number.
    Group(u32),
    /// Everybody whom no other entry is about.
    Other,
}

/// A set of the rights to read, write and execute (for a folder: to cross it).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rights(u8);

impl Rights {
    /// No right at all.
    pub const NONE: Self = Self(0);
    /// As the mode's `r`.
    pub const READ: Self = Self(4);
    /// As the mode's `w`.
    pub const WRITE: Self = Self(2);
    /// As the mode's `x`.
    pub const EXECUTE: Self = Self(1);

    /// The rights that one octal digit of a mode stands for; `None` when there are other bits.
    #[must_use]
    pub fn from_bits(bits: u32) -> Option<Self> {
        u8::try_from(bits).ok().filter(|bits| *bits <= 0o7).map(Self)
    }

    /// The octal digit of a mode.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0 as u32
    }

    /// Whether every right of `other` is among these.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether this is no right at all.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// These without those of `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

impl BitAnd for Rights {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl Who {
    /// Whether the mask bounds what this entry gives.
    const fn is_masked(self) -> bool {
        matches!(self, Self::User(_) | Self::OwningGroup | Self::Group(_))
    }

    const fn is_named(self) -> bool {
        matches!(self, Self::User(_) | Self::Group(_))
    }
}

impl Acl {
    /// Every entry as it is written, in the kernel's order. The mask, which stands before the last,
    /// is left out.
    pub fn entries(&self) -> impl Iterator<Item = Entry> {
        let owner = Entry { who: Who::Owner, rights: self.owner };
        let users = self.users.iter().map(|&(id, rights)| Entry { who: Who::User(id), rights });
        let owning_group = Entry { who: Who::OwningGroup, rights: self.owning_group };
        let groups = self.groups.iter().map(|&(id, rights)| Entry { who: Who::Group(id), rights });
        let other = Entry { who: Who::Other, rights: self.other };
        [owner].into_iter().chain(users).chain([owning_group]).chain(groups).chain([other])
    }

    /// What named users, the owning group and named groups get at most; on a file with a list it is
    /// what the mode shows as the group's bits, and what chmod(1) changes there.
    #[must_use]
    pub const fn mask(&self) -> Option<Rights> {
        self.mask
    }

    /// What is left of an entry's rights under the mask.
    #[must_use]
    pub fn effective(&self, entry: Entry) -> Rights {
        if entry.who.is_masked() { self.masked(entry.rights) } else { entry.rights }
    }

    fn masked(&self, rights: Rights) -> Rights {
        self.mask.map_or(rights, |mask| rights & mask)
    }

    /// Everybody beside the owner who gets something now, with what they get.
    pub fn grants(&self) -> impl Iterator<Item = Entry> {
        self.entries()
            .filter(|entry| entry.who != Who::Owner)
            .map(|entry| Entry { rights: self.effective(entry), ..entry })
            .filter(|entry| !entry.rights.is_empty())
    }

    /// Named users and groups whose rights the mask cuts now, with what it cuts: what they get as
    /// soon as a chmod(1) gives the group more.
    pub fn dormant(&self) -> impl Iterator<Item = Entry> {
        self.entries()
            .filter(|entry| entry.who.is_named())
            .map(|entry| Entry { rights: entry.rights.without(self.effective(entry)), ..entry })
            .filter(|entry| !entry.rights.is_empty())
    }

    /// Whether `identity` gets all of `wanted` on a file of `uid` and `gid` that has this access
    /// list. What root and capabilities may do beyond it is not asked here.
    ///
    /// In one case it differs from acl(5): under an empty mask the mode shows no group bits, and Linux
    /// then looks at no named entry (`acl_permission_check` in fs/namei.c). Whom the list names gets
    /// what others get there, not nothing.
    #[must_use]
    pub fn allows(&self, identity: &Identity, uid: u32, gid: u32, wanted: Rights) -> bool {
        if identity.uid == uid {
            return self.owner.contains(wanted);
        }
        if let Some((_, rights)) = self.consulted(&self.users).iter().find(|(id, _)| *id == identity.uid) {
            return self.masked(*rights).contains(wanted);
        }
        let mut groups = [(gid, self.owning_group)]
            .into_iter()
            .chain(self.consulted(&self.groups).iter().copied())
            .filter(|(id, _)| identity.is_in(*id))
            .peekable();
        if groups.peek().is_some() {
            // One group must give all of it: rights of several groups don't add up.
            return groups.any(|(_, rights)| self.masked(rights).contains(wanted));
        }
        self.other.contains(wanted)
    }

    fn consulted<'a>(&self, named: &'a [(u32, Rights)]) -> &'a [(u32, Rights)] {
        if self.mask == Some(Rights::NONE) { &[] } else { named }
    }
}

#[cfg(test)]
mod tests;
