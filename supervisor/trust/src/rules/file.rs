//! The rules for a regular file at the end of the way.
//!
//! Owns what a key, a certificate and a configuration file must look like; opens nothing. Follows
//! inode(7), link(2), acl(5).

use std::path::Path;

use super::{Judge, OTHERS_WRITE, TRUSTED_OWNER, refuse};
use crate::finding::{Code, Finding, Severity, Shown};
use crate::node::{Acl, Facts, Modes};
use crate::object::Role;

/// What can be asked only of a readable descriptor.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Backing {
    pub acl: Acl,
    pub modes: Modes,
}

impl Judge<'_> {
    /// Judges a regular file; `backing` is `None` when it could not be opened.
    pub(crate) fn file(
        &self,
        role: Role,
        path: &Path,
        facts: &Facts,
        backing: Option<Backing>,
    ) -> Vec<Finding> {
        let secret = role == Role::PrivateKey;
        let mut findings = Vec::new();
        findings.extend(self.file_owner(role, path, facts));
        findings.extend(if secret { key_mode(path, facts) } else { public_mode(role, path, facts) });
        findings.extend(special_bits(path, facts));
        findings.extend(secret.then(|| hard_links(path, facts)).flatten());
        findings.extend(size(role, path, facts));
        if let Some(backing) = backing {
            findings.extend(self.readable(path, facts));
            // A configuration's group bits are checked, and they bound what an ACL can grant.
            if role != Role::Config {
                findings.extend(acl(secret, path, backing.acl));
                findings.extend(advisory(path, backing.modes));
            }
        }
        findings
    }

    fn file_owner(&self, role: Role, path: &Path, facts: &Facts) -> Option<Finding> {
        if self.is_unmapped(facts) {
            return Some(self.unmapped(path, facts));
        }
        let secret = role == Role::PrivateKey;
        let trusted =
            if secret { facts.uid == self.identity.uid } else { self.identity.trusts_owner(facts.uid) };
        if trusted {
            return None;
        }
        Some(if secret { self.key_owner(path, facts) } else { self.public_owner(path, facts) })
    }

    fn key_owner(&self, path: &Path, facts: &Facts) -> Finding {
        let why = format!("a private key must belong to the service user, who is {}", self.identity.uid);
        let mut fix = format!("chown {} {}", self.owner(), Shown(path));
        if self.identity.uid == 0 {
            fix.push_str(&format!(" (or run as user {}, whose key it is)", facts.uid));
        }
        refuse(path, Code::ForeignOwner, facts, why, fix)
    }

    fn public_owner(&self, path: &Path, facts: &Facts) -> Finding {
        let Facts { uid, .. } = facts;
        let why = match self.identity.uid {
            0 => format!("user {uid} can replace it: it must belong to root, as whom this runs"),
            us => format!("user {uid} can replace it: it must belong to root or to the service user, {us}"),
        };
        refuse(path, Code::ForeignOwner, facts, why, format!("chown {TRUSTED_OWNER} {}", Shown(path)))
    }

    /// By mode, for when this process may do more than the service user.
    fn readable(&self, path: &Path, facts: &Facts) -> Option<Finding> {
        let closed = !self.is_self && !self.is_unmapped(facts) && !self.identity.may_read(facts);
        closed.then(|| self.unreadable(path, facts))
    }
}

fn key_mode(path: &Path, facts: &Facts) -> Option<Finding> {
    let open = facts.mode & 0o077;
    let who = match (open & 0o070 != 0, open & 0o007 != 0) {
        (false, false) => return None,
        (true, false) => "its group",
        (false, true) => "every user",
        (true, true) => "its group and every user",
    };
    let deed = if open & OTHERS_WRITE != 0 { "read or replace" } else { "read" };
    let deed = if open & !0o011 == 0 { "execute" } else { deed };
    let why = format!("{who} can {deed} the private key: only its owner may");
    Some(refuse(path, Code::ModeTooOpen, facts, why, format!("chmod 0600 {}", Shown(path))))
}

fn public_mode(role: Role, path: &Path, facts: &Facts) -> Option<Finding> {
    let who = match (facts.mode & 0o020 != 0, facts.mode & 0o002 != 0) {
        (false, false) => return None,
        (true, false) => "its group",
        (_, true) => "every user",
    };
    let why = format!("{who} can write the {role}");
    Some(refuse(path, Code::WritableByOthers, facts, why, format!("chmod go-w {}", Shown(path))))
}

fn special_bits(path: &Path, facts: &Facts) -> Option<Finding> {
    let why = "setuid, setgid or sticky on a file that nobody runs is a mistake or a trap".to_owned();
    let fix = || format!("chmod u-s,g-s,-t {}", Shown(path));
    (facts.mode & 0o7000 != 0).then(|| refuse(path, Code::SpecialBits, facts, why, fix()))
}

fn hard_links(path: &Path, facts: &Facts) -> Option<Finding> {
    let shown = Shown(path);
    let fix = || format!("cp -p {shown} {shown}.new && mv {shown}.new {shown}, and remove the other names");
    let why = "under another name it may stand in a folder that is not guarded".to_owned();
    let seen = format!("{} names of one file", facts.links);
    (facts.links != 1).then(|| refuse(path, Code::HardLinked, seen, why, fix()))
}

fn size(role: Role, path: &Path, facts: &Facts) -> Option<Finding> {
    if facts.size > MOST_BYTES {
        let seen = format!("{} bytes", facts.size);
        let why = format!("a {role} has at most {MOST_BYTES} bytes");
        let fix = format!("put the {role} alone into {}", Shown(path));
        return Some(refuse(path, Code::TooLarge, seen, why, fix));
    }
    // An empty configuration is a valid one: everything has a default.
    if facts.size == 0 && role != Role::Config {
        let fix = format!("write the {role} to {}", Shown(path));
        return Some(refuse(path, Code::Empty, "0 bytes", format!("there is no {role} in it"), fix));
    }
    None
}

fn acl(secret: bool, path: &Path, acl: Acl) -> Option<Finding> {
    let (code, seen) = match acl {
        Acl::Absent => return None,
        Acl::Present => (Code::AclPresent, "a POSIX access ACL beside the mode".to_owned()),
        Acl::Unknown(errno) => (Code::AclUnknown, format!("asking for an ACL failed: {errno}")),
    };
    let why = if secret {
        "an ACL can let others read the private key, now or after the next chmod"
    } else {
        "who can write is bounded by the mode's group bits; the entries themselves are not judged"
    };
    let fix = format!("setfacl -b {}", Shown(path));
    let severity = if secret { Severity::Refuse } else { Severity::Warn };
    Some(Finding { severity, ..refuse(path, code, seen, why.to_owned(), fix) })
}

fn advisory(path: &Path, modes: Modes) -> Option<Finding> {
    let seen = match modes {
        Modes::Enforced => return None,
        Modes::Advisory(name) => format!("on a {name} filesystem"),
        Modes::Unknown(errno) => format!("asking for the filesystem's kind failed: {errno}"),
    };
    let why = "a server or a program decides who may read, not the mode seen here".to_owned();
    let fix = "mount it from a local filesystem, or see to the access rules of whoever serves it".to_owned();
    Some(Finding { severity: Severity::Warn, ..refuse(path, Code::AdvisoryModes, seen, why, fix) })
}

/// 1 MiB: more than any chain, key or configuration needs, and no burden on memory.
const MOST_BYTES: u64 = 1 << 20;
