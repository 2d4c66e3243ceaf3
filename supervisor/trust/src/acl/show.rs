//! Lists as getfacl(1) shows them, in one line.
//!
//! Owns the words that reports use; a list of any length is a short line. Follows the short text
//! form of acl(5), with getfacl's remark where the mask cuts something.

use std::fmt;

use super::{Acl, Entry, Rights, Who};

/// `user::rw-, user:1234:rw- #effective:r--, group::r--, mask::r--, other::---`
impl fmt::Display for Acl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let masked = self.entries().filter(|entry| entry.who != Who::Other).map(|entry| self.line(entry));
        let mask = self.mask.map(|mask| format!("mask::{mask}"));
        let other = Entry { who: Who::Other, rights: self.other }.to_string();
        let shown: Vec<_> = masked.chain(mask).chain([other]).take(MOST_SHOWN).collect();
        f.write_str(&shown.join(", "))?;
        let all = self.entries().count() + usize::from(self.mask.is_some());
        match all - shown.len() {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

impl Acl {
    fn line(&self, entry: Entry) -> String {
        let effective = self.effective(entry);
        if effective == entry.rights { entry.to_string() } else { format!("{entry} #effective:{effective}") }
    }
}

/// `user:1234:rw-`
impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rights = self.rights;
        match self.who {
            Who::Owner => write!(f, "user::{rights}"),
            Who::User(id) => write!(f, "user:{id}:{rights}"),
            Who::OwningGroup => write!(f, "group::{rights}"),
            Who::Group(id) => write!(f, "group:{id}:{rights}"),
            Who::Other => write!(f, "other::{rights}"),
        }
    }
}

/// `rw-`
impl fmt::Display for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        [(Self::READ, "r"), (Self::WRITE, "w"), (Self::EXECUTE, "x")]
            .into_iter()
            .try_for_each(|(right, letter)| f.write_str(if self.contains(right) { letter } else { "-" }))
    }
}

/// Enough for every list that somebody wrote by hand.
const MOST_SHOWN: usize = 16;
