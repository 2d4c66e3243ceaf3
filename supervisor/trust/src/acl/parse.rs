//! From the bytes of the attribute to a list, or to what is wrong with them.
//!
//! Owns the format: what Linux would not enforce is no list. Follows include/uapi/linux/posix_acl*.h
//! and `posix_acl_valid` in fs/posix_acl.c.

use super::{Acl, Rights};

/// Reads the value of `system.posix_acl_access` or `system.posix_acl_default`: a version, then eight
/// bytes for each entry, all little-endian.
///
/// Takes what setxattr(2) takes as a list, with two differences. A value without entries, which
/// removes a list there and is never given back by getxattr(2), is no list here. The id 4294967295,
/// which can't be set, stands for somebody without a number in this user namespace when it is read.
///
/// # Errors
/// What is wrong with the bytes. The kernel gives no such value for a file whose list it enforces.
pub fn parse(bytes: &[u8]) -> Result<Acl, Malformed> {
    let length = Malformed::Length(bytes.len());
    if bytes.len() > MOST_BYTES {
        return Err(length);
    }
    let (version, body) = bytes.split_first_chunk().ok_or_else(|| length.clone())?;
    let version = u32::from_le_bytes(*version);
    if version != VERSION {
        return Err(Malformed::Version(version));
    }
    let (records, []) = body.as_chunks() else { return Err(length) };
    let mut draft = Draft::default();
    records.iter().try_for_each(|record| draft.add(record))?;
    draft.finish()
}

/// Why some bytes are no list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Not a header and whole entries, or more of them than an attribute can hold.
    #[error("an ACL has 4 and some times 8 bytes, {MOST_BYTES} at most, not {0}")]
    Length(usize),
    /// A format of another time.
    #[error("an ACL has version {VERSION}, not {0}")]
    Version(u32),
    /// An entry of a kind that does not exist.
    #[error("the ACL has an entry of an unknown kind, 0x{0:02x}")]
    Tag(u16),
    /// An entry with bits beyond rwx.
    #[error("the ACL has an entry with unknown rights, 0x{0:02x}")]
    Rights(u16),
    /// A second entry of a kind that there is only one of.
    #[error("the ACL has two {0} entries")]
    Repeated(&'static str),
    /// An entry after those that it must stand before.
    #[error("the ACL has a {0} entry in the wrong place")]
    Misplaced(&'static str),
    /// No entry of a kind that must be there.
    #[error("the ACL has no {0} entry")]
    Missing(&'static str),
}

/// The kinds of entries in the order in which they must stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Tag {
    Owner,
    User,
    OwningGroup,
    Group,
    Mask,
    Other,
}

impl Tag {
    fn from_raw(raw: u16) -> Option<Self> {
        Some(match raw {
            0x01 => Self::Owner,
            0x02 => Self::User,
            0x04 => Self::OwningGroup,
            0x08 => Self::Group,
            0x10 => Self::Mask,
            0x20 => Self::Other,
            _ => return None,
        })
    }

    /// As getfacl(1) writes it, with the `N` of a number.
    const fn name(self) -> &'static str {
        match self {
            Self::Owner => "user::",
            Self::User => "user:N:",
            Self::OwningGroup => "group::",
            Self::Group => "group:N:",
            Self::Mask => "mask::",
            Self::Other => "other::",
        }
    }
}

/// The entries so far.
#[derive(Debug, Default)]
struct Draft {
    last: Option<Tag>,
    owner: Option<Rights>,
    users: Vec<(u32, Rights)>,
    owning_group: Option<Rights>,
    groups: Vec<(u32, Rights)>,
    mask: Option<Rights>,
    other: Option<Rights>,
}

impl Draft {
    fn add(&mut self, record: &[u8; 8]) -> Result<(), Malformed> {
        let [t0, t1, r0, r1, id @ ..] = *record;
        let (tag, rights) = (u16::from_le_bytes([t0, t1]), u16::from_le_bytes([r0, r1]));
        let tag = Tag::from_raw(tag).ok_or(Malformed::Tag(tag))?;
        let rights = Rights::from_bits(rights.into()).ok_or(Malformed::Rights(rights))?;
        self.place(tag)?;
        // Only a named entry's id means something; the kernel ignores the others too.
        let named = (u32::from_le_bytes(id), rights);
        match tag {
            Tag::Owner => self.owner = Some(rights),
            Tag::User => self.users.push(named),
            Tag::OwningGroup => self.owning_group = Some(rights),
            Tag::Group => self.groups.push(named),
            Tag::Mask => self.mask = Some(rights),
            Tag::Other => self.other = Some(rights),
        }
        Ok(())
    }

    /// The kinds ascend, and only named ones repeat. Ids need no order, and even come twice: to
    /// refuse that is left to acl_valid(3) and its kind.
    fn place(&mut self, tag: Tag) -> Result<(), Malformed> {
        match self.last {
            Some(last) if last > tag => return Err(Malformed::Misplaced(tag.name())),
            Some(last) if last == tag && !matches!(tag, Tag::User | Tag::Group) => {
                return Err(Malformed::Repeated(tag.name()));
            }
            _ => self.last = Some(tag),
        }
        Ok(())
    }

    fn finish(self) -> Result<Acl, Malformed> {
        let Self { users, groups, mask, .. } = self;
        let missing = |tag: Tag| Malformed::Missing(tag.name());
        let owner = self.owner.ok_or_else(|| missing(Tag::Owner))?;
        let owning_group = self.owning_group.ok_or_else(|| missing(Tag::OwningGroup))?;
        let other = self.other.ok_or_else(|| missing(Tag::Other))?;
        if mask.is_none() && !(users.is_empty() && groups.is_empty()) {
            return Err(missing(Tag::Mask));
        }
        Ok(Acl { owner, users, owning_group, groups, mask, other })
    }
}

const VERSION: u32 = 2;
/// XATTR_SIZE_MAX: room for 8191 entries. The kernel gives and takes no longer value (xattr(7)).
const MOST_BYTES: usize = 1 << 16;
