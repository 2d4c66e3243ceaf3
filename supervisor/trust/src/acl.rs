//! POSIX ACLs, from the bytes of the extended attribute.
//!
//! Owns the format and the arithmetic of masks; asks no file. Follows acl(5), and the kernel's
//! uapi/linux/posix_acl_xattr.h and `posix_acl_valid`: what the kernel would not take is malformed.

use std::fmt;

use crate::identity::Identity;

/// A valid ACL: exactly one entry each for owner, owning group and others, and a mask where there
/// are named entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acl {
    entries: Vec<Entry>,
    mask: Option<Rights>,
}

/// One entry, as it stands there: the mask is not taken into account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    pub who: Who,
    pub rights: Rights,
}

/// Whom an entry is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Who {
    Owner,
    User(u32),
    OwningGroup,
    Group(u32),
    Other,
}

impl Who {
    /// Whether the mask bounds what the entry grants.
    #[must_use]
    pub const fn is_masked(self) -> bool {
        matches!(self, Self::User(_) | Self::OwningGroup | Self::Group(_))
    }
}

/// Read, write and execute (on folders: cross).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Rights(u32);

impl Rights {
    /// Of the lowest three of `bits`.
    #[must_use]
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits & 0o7)
    }

    /// Read is 4, write 2, execute 1.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Whether it grants nothing.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// What both grant.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    const fn holds(self, wanted: Self) -> bool {
        self.0 & wanted.0 == wanted.0
    }
}

/// `rw-`
impl fmt::Display for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letter = |bit, letter| if self.0 & bit != 0 { letter } else { '-' };
        write!(f, "{}{}{}", letter(4, 'r'), letter(2, 'w'), letter(1, 'x'))
    }
}

/// Why bytes are no ACL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("an ACL of {0} bytes, which can't be: 4 and then 8 an entry")]
    Length(usize),
    #[error("an ACL of the unknown version {0}")]
    Version(u32),
    #[error("an ACL entry of the unknown kind {0:#06x}")]
    Tag(u16),
    #[error("an ACL entry with the unknown rights {0:#06x}")]
    Rights(u16),
    #[error("an ACL whose entries are not in order, or one of a kind is there twice")]
    Order,
    #[error("an ACL without an entry for {0}")]
    Lacks(&'static str),
}

/// Reads the value of `system.posix_acl_access` or `system.posix_acl_default`.
///
/// # Errors
/// What the kernel would not take either.
pub fn parse(bytes: &[u8]) -> Result<Acl, Malformed> {
    let length = || Malformed::Length(bytes.len());
    let (version, records) = bytes.split_first_chunk().ok_or_else(length)?;
    if u32::from_le_bytes(*version) != VERSION {
        return Err(Malformed::Version(u32::from_le_bytes(*version)));
    }
    let (records, rest) = records.as_chunks::<8>();
    if !rest.is_empty() {
        return Err(length());
    }
    let mut acl = Acl { entries: Vec::with_capacity(records.len()), mask: None };
    let mut last = None;
    for record in records {
        let [tag_low, tag_high, rights_low, rights_high, id @ ..] = *record;
        let (tag, id) = (u16::from_le_bytes([tag_low, tag_high]), u32::from_le_bytes(id));
        let rights = rights(u16::from_le_bytes([rights_low, rights_high]))?;
        let place = acl.enter(tag, id, rights)?;
        // Kinds rise; ids need not, and the kernel lets one stand there twice: the first counts.
        if last.is_some_and(|last: u16| last > place || (last == place && !is_named(place))) {
            return Err(Malformed::Order);
        }
        last = Some(place);
    }
    acl.complete()
}

fn rights(bits: u16) -> Result<Rights, Malformed> {
    if bits & !0o7 == 0 { Ok(Rights::from_bits(bits.into())) } else { Err(Malformed::Rights(bits)) }
}

const fn is_named(tag: u16) -> bool {
    matches!(tag, USER | GROUP)
}

impl Acl {
    /// Adds what a record says; returns its place in the order of kinds.
    fn enter(&mut self, tag: u16, id: u32, rights: Rights) -> Result<u16, Malformed> {
        let who = match tag {
            USER_OBJ => Who::Owner,
            USER => Who::User(id),
            GROUP_OBJ => Who::OwningGroup,
            GROUP => Who::Group(id),
            OTHER => Who::Other,
            MASK => {
                self.mask = Some(rights);
                return Ok(tag);
            }
            unknown => return Err(Malformed::Tag(unknown)),
        };
        self.entries.push(Entry { who, rights });
        Ok(tag)
    }

    fn complete(self) -> Result<Self, Malformed> {
        let has = |who| self.entries.iter().any(|entry| entry.who == who);
        for (who, name) in
            [(Who::Owner, "the owner"), (Who::OwningGroup, "the group"), (Who::Other, "others")]
        {
            if !has(who) {
                return Err(Malformed::Lacks(name));
            }
        }
        if self.named().next().is_some() && self.mask.is_none() {
            return Err(Malformed::Lacks("the mask"));
        }
        Ok(self)
    }

    /// In the order of the attribute, without the mask.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The most that anybody but the owner and others is granted.
    #[must_use]
    pub const fn mask(&self) -> Option<Rights> {
        self.mask
    }

    fn named(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| matches!(entry.who, Who::User(_) | Who::Group(_)))
    }

    /// What an entry comes to, the mask taken into account.
    #[must_use]
    pub fn effective(&self, entry: &Entry) -> Rights {
        match self.mask {
            Some(mask) if entry.who.is_masked() => entry.rights.and(mask),
            _ => entry.rights,
        }
    }

    /// Everybody beside the owner who is granted anything, with what it comes to.
    pub fn grants(&self) -> impl Iterator<Item = (Who, Rights)> {
        let effective = self.entries.iter().map(|entry| (entry.who, self.effective(entry)));
        effective.filter(|(who, rights)| *who != Who::Owner && !rights.is_empty())
    }

    /// Named entries with rights that only the mask holds back: a later chmod of the group bits
    /// would give them.
    pub fn dormant(&self) -> impl Iterator<Item = (Who, Rights)> {
        let held_back = self.named().map(|entry| {
            let effective = self.effective(entry);
            (entry.who, Rights::from_bits(entry.rights.bits() & !effective.bits()))
        });
        held_back.filter(|(_, rights)| !rights.is_empty())
    }

    /// The access check of acl(5) for a file of `uid` and `gid`; root's own powers don't count.
    #[must_use]
    pub fn allows(&self, identity: &Identity, uid: u32, gid: u32, wanted: Rights) -> bool {
        let of = |who| self.entries.iter().find(|entry| entry.who == who);
        if identity.uid == uid {
            return of(Who::Owner).is_some_and(|entry| entry.rights.holds(wanted));
        }
        if let Some(entry) = of(Who::User(identity.uid)) {
            return self.effective(entry).holds(wanted);
        }
        let mut groups = self
            .entries
            .iter()
            .filter(|entry| match entry.who {
                Who::OwningGroup => identity.is_in(gid),
                Who::Group(id) => identity.is_in(id),
                Who::Owner | Who::User(_) | Who::Other => false,
            })
            .peekable();
        if groups.peek().is_some() {
            // One group must grant all that is wanted; two can't share it.
            return groups.any(|entry| self.effective(entry).holds(wanted));
        }
        of(Who::Other).is_some_and(|entry| entry.rights.holds(wanted))
    }
}

/// As getfacl(1) has it, on one line: `user::rw- user:1234:rw- (effective r--) group::--- ...`
impl fmt::Display for Acl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, entry) in self.entries.iter().take(MOST_SHOWN).enumerate() {
            let gap = if number == 0 { "" } else { " " };
            write!(f, "{gap}{entry}")?;
            let effective = self.effective(entry);
            if effective != entry.rights {
                write!(f, " (effective {effective})")?;
            }
        }
        if let Some(mask) = self.mask {
            write!(f, " mask::{mask}")?;
        }
        match self.entries.len().saturating_sub(MOST_SHOWN) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.who {
            Who::Owner => write!(f, "user::{}", self.rights),
            Who::User(id) => write!(f, "user:{id}:{}", self.rights),
            Who::OwningGroup => write!(f, "group::{}", self.rights),
            Who::Group(id) => write!(f, "group:{id}:{}", self.rights),
            Who::Other => write!(f, "other::{}", self.rights),
        }
    }
}

const VERSION: u32 = 2;
const USER_OBJ: u16 = 0x01;
const USER: u16 = 0x02;
const GROUP_OBJ: u16 = 0x04;
const GROUP: u16 = 0x08;
const MASK: u16 = 0x10;
const OTHER: u16 = 0x20;
/// What a person reads of a line.
const MOST_SHOWN: usize = 16;
