//! The rules for a regular file at the end of the way.
//!
//! Owns what a key, a certificate and a configuration file must look like; opens nothing. Follows
//! inode(7), link(2), acl(5).

use std::path::Path;

use fluxheim_config::AdvisoryFilesystem;

use super::grants::{Grant, WRITE, grants, listed, named};
use super::{refuse, unknown, warn};
use crate::delivery::{Delivery, DeliveryKind};
use crate::finding::{Code, Finding, Shown};
use crate::mount::{Filesystem, Mount};
use crate::node::{AclSeen, Facts};
use crate::object::Role;
use crate::terms::Judge;

/// A regular file, with everything that is known of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub role: Role,
    pub path: &'a Path,
    pub facts: &'a Facts,
    pub mount: &'a Mount,
    pub acl: &'a AclSeen,
    /// An ACL of the filesystem's own kind, by its attribute.
    pub own_acl: Option<&'static str>,
    pub delivery: Option<&'a Delivery>,
    /// Whether this process could open it.
    pub opened: bool,
}

impl Judge<'_> {
    /// Judges a regular file.
    pub(crate) fn file(&self, subject: &Subject<'_>) -> Vec<Finding> {
        let Subject { role, path, facts, delivery, .. } = *subject;
        // Of what the proxy keeps for itself, everything is as secret as the keys among it.
        let guarded = role.is_secret() || role == Role::StateFolder;
        let mut findings = Vec::new();
        findings.extend(self.file_owner(guarded, subject));
        findings.extend(self.file_grants(guarded, subject));
        findings.extend(special_bits(path, facts));
        findings.extend(guarded.then(|| hard_links(path, facts)).flatten());
        findings.extend(size(role, path, facts));
        // Whose it is not can't read it either, and is told so by the first.
        if subject.opened && findings.iter().all(|finding| finding.code != Code::ForeignOwner) {
            findings.extend(self.readable(subject));
        }
        findings.extend(self.advisory(role, path, subject.mount, subject.own_acl));
        findings.extend(pinned(subject));
        if guarded {
            findings.extend(delivery.and_then(|delivery| self.remark(delivery, path, facts)));
        }
        findings
    }

    fn file_owner(&self, guarded: bool, subject: &Subject<'_>) -> Option<Finding> {
        let Subject { role, path, facts, delivery, .. } = *subject;
        if self.is_unmapped(facts) {
            return Some(self.unmapped(path, facts));
        }
        let trusted = match guarded {
            true => facts.uid == self.identity.uid || self.may_deliver(delivery, facts.uid),
            false => self.identity.trusts_owner(facts.uid),
        };
        if trusted {
            return None;
        }
        Some(if guarded { self.secret_owner(role, path, facts) } else { self.public_owner(subject) })
    }

    fn secret_owner(&self, role: Role, path: &Path, facts: &Facts) -> Finding {
        let us = self.identity.uid;
        let what = if role == Role::StateFolder { "what is in a state folder" } else { "a secret" };
        let why = format!("{what} must belong to the service user, who is {us}");
        let mut fix = format!("chown {} {}", self.owner(), Shown(path));
        if us == 0 {
            fix.push_str(&format!(" (or run as user {}, whose it is)", facts.uid));
        }
        refuse(path, Code::ForeignOwner, facts, why, fix)
    }

    fn public_owner(&self, subject: &Subject<'_>) -> Finding {
        let Subject { path, facts, mount, .. } = *subject;
        let Facts { uid, .. } = facts;
        let why = match self.identity.uid {
            0 => format!("user {uid} can replace it: it must belong to root, as whom this runs"),
            us => format!("user {uid} can replace it: it must belong to root or to the service user, {us}"),
        };
        refuse(path, Code::ForeignOwner, facts, why, self.give(path, facts, mount))
    }

    /// What mode and ACL grant to others: anything is too much of a secret, writing of the rest.
    fn file_grants(&self, guarded: bool, subject: &Subject<'_>) -> Vec<Finding> {
        let Subject { role, path, facts, acl, delivery, .. } = *subject;
        let mut wrong = grants(facts, acl);
        wrong.retain(|grant| {
            let forgiven = || delivery.is_some_and(|delivery| self.forgives(delivery, path, facts, *grant));
            (guarded || grant.can(WRITE)) && !self.trusts(*grant) && !(guarded && forgiven())
        });
        let (by_acl, by_mode): (Vec<_>, Vec<_>) = wrong.into_iter().partition(|grant| grant.is_by_acl());
        let mut findings = Vec::new();
        if !by_mode.is_empty() {
            findings.push(self.by_mode(guarded, subject, &by_mode));
        }
        if !by_acl.is_empty() {
            findings.push(by_entries(subject, &by_acl));
        }
        findings.extend(dormant(guarded, path, facts, acl, self));
        if let AclSeen::Unknown(reason) = acl {
            let why = format!("an ACL can let others {} the {role}", if guarded { "read" } else { "write" });
            let fix = format!("setfacl -b {}, or use a filesystem that tells", Shown(path));
            findings.push(unknown(path, Code::AclUnknown, format!("an ACL? {reason}"), why, fix));
        }
        findings
    }

    fn by_mode(&self, guarded: bool, subject: &Subject<'_>, wrong: &[Grant]) -> Finding {
        let Subject { role, path, facts, delivery, .. } = *subject;
        let who = listed(wrong);
        let writes = wrong.iter().any(|grant| grant.can(WRITE));
        if !guarded {
            let why = format!("{who} can write the {role}");
            let fix = format!("chmod go-w {}", Shown(path));
            return refuse(path, Code::WritableByOthers, facts, why, fix);
        }
        let executes = wrong.iter().all(|grant| grant.bits == 0o1);
        let deed = match (writes, executes) {
            (true, _) => "read or replace",
            (_, true) => "execute",
            _ => "read",
        };
        let what = if role == Role::StateFolder { "what the proxy keeps there" } else { "the secret" };
        let why = format!("{who} can {deed} {what}: only its owner may");
        let fix = self.tighten(delivery, path, format!("chmod 0600 {}", Shown(path)));
        refuse(path, Code::ModeTooOpen, facts, why, fix)
    }

    /// By mode and ACL, for when this process may do more than the service user.
    fn readable(&self, subject: &Subject<'_>) -> Option<Finding> {
        let Subject { path, facts, acl, delivery, .. } = *subject;
        let closed = !self.is_self && !self.is_unmapped(facts) && !self.identity.may_read(facts, acl);
        closed.then(|| self.unreadable(path, facts, delivery))
    }

    /// A filesystem whose modes are not the last word.
    pub(super) fn advisory(
        &self,
        role: Role,
        path: &Path,
        mount: &Mount,
        own_acl: Option<&'static str>,
    ) -> Option<Finding> {
        if let Filesystem::Unasked(_) = mount.filesystem {
            let why = "whether its modes mean anything is not known".to_owned();
            let fix = "mend the cause that the system names, then try again".to_owned();
            return Some(unknown(path, Code::AdvisoryModes, mount, why, fix));
        }
        let seen = match own_acl {
            Some(name) => format!("{mount}; with an ACL of its own kind, {name}, which is not decoded"),
            None => mount.to_string(),
        };
        let Some(kind) = mount.filesystem.advisory() else {
            let why = "it decides who may read, beside the mode seen here".to_owned();
            let fix = "remove it (nfs4_setfacl, or acltype=posix), or use a filesystem without".to_owned();
            return own_acl.map(|_| unknown(path, Code::AclUnknown, seen, why, fix));
        };
        let why = match kind {
            AdvisoryFilesystem::Other => "whether its modes mean anything is not known",
            _ => "a server or a program decides who may read, not the mode seen here",
        };
        let name = kind.name();
        let vouched = self.trusted_filesystems.contains(&kind);
        let fix = match vouched {
            true => format!(
                "nothing, as long as you see to the access rules of whoever serves it ([storage] trusts {name})"
            ),
            false => format!(
                "use a local filesystem or tmpfs; or see to the access rules of whoever serves it, and say so: \
                 [storage] trusted_filesystems = [\"{name}\"]"
            ),
        };
        // Which filesystems are trusted stands in the configuration, so it can't hold for itself.
        if vouched || role == Role::Config {
            return Some(warn(path, Code::AdvisoryModes, seen, why.to_owned(), fix));
        }
        Some(unknown(path, Code::AdvisoryModes, seen, why.to_owned(), fix))
    }
}

fn by_entries(subject: &Subject<'_>, wrong: &[Grant]) -> Finding {
    let Subject { role, path, facts, acl, .. } = *subject;
    let entries = acl.entries().map(ToString::to_string).unwrap_or_default();
    let why = format!("by the ACL {} can read or replace the {role}", listed(wrong));
    let fix = format!("setfacl -b {}", Shown(path));
    refuse(path, Code::AclGrants, format!("{facts}; ACL {entries}"), why, fix)
}

/// Entries that the mask holds down now: the next chmod of the group bits arms them again.
pub(super) fn dormant(
    guarded: bool,
    path: &Path,
    facts: &Facts,
    acl: &AclSeen,
    judge: &Judge<'_>,
) -> Option<Finding> {
    let acl = acl.entries()?;
    let sleeps = acl.dormant().any(|entry| {
        let grant = named(entry, facts);
        grant.is_some_and(|grant| !judge.trusts(grant) && (guarded || grant.can(WRITE)))
    });
    sleeps.then(|| {
        let why = "the mode's group bits mask these entries; the next chmod of them arms them".to_owned();
        warn(path, Code::AclDormant, format!("ACL {acl}"), why, format!("setfacl -b {}", Shown(path)))
    })
}

pub(super) fn special_bits(path: &Path, facts: &Facts) -> Option<Finding> {
    let why = "setuid, setgid or sticky on a file that nobody runs is a mistake or a trap".to_owned();
    let fix = || format!("chmod u-s,g-s,-t {}", Shown(path));
    (facts.mode & 0o7000 != 0).then(|| refuse(path, Code::SpecialBits, facts, why, fix()))
}

fn hard_links(path: &Path, facts: &Facts) -> Option<Finding> {
    let shown = Shown(path);
    let fix = || format!("cp -p {shown} {shown}.new && mv {shown}.new {shown}  # and remove the other names");
    let why = "under another name it may stand in a folder that is not guarded".to_owned();
    let seen = format!("{} names of one file", facts.links);
    (facts.links > 1).then(|| refuse(path, Code::HardLinked, seen, why, fix()))
}

fn size(role: Role, path: &Path, facts: &Facts) -> Option<Finding> {
    if role.is_folder() {
        return None;
    }
    let most = role.most_bytes();
    if facts.size > most {
        let seen = format!("{} bytes", facts.size);
        let why = format!("a {role} has at most {most} bytes");
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

/// A file that is mounted alone stays the inode it was at the start of the container.
fn pinned(subject: &Subject<'_>) -> Option<Finding> {
    let Subject { role, path, facts, mount, delivery, .. } = *subject;
    if !facts.mount_root {
        return None;
    }
    let fix = "mount the folder instead of the single file";
    if facts.links == 0 {
        let seen =
            format!("the host has put another file in its place; this mount holds the old one: {mount}");
        let why = "what is new is never seen in here".to_owned();
        let fix = format!("start the container anew, and {fix}");
        // Of a certificate the old one is better than none; an old configuration is not what was meant.
        let stale = if role == Role::Config { refuse } else { warn };
        return Some(stale(path, Code::PinnedFile, seen, why, fix));
    }
    let renewed = matches!(
        role,
        Role::Certificate
            | Role::PrivateKey
            | Role::CaBundle
            | Role::RevocationList
            | Role::TicketKeys
            | Role::OcspResponse
    );
    let secret = delivery.is_some_and(|delivery| delivery.kind == DeliveryKind::RuntimeSecret);
    (renewed && !secret).then(|| {
        let why = "a renewal that renames a new file over it is never seen in here".to_owned();
        warn(path, Code::PinnedFile, format!("the file itself is a mount: {mount}"), why, fix.to_owned())
    })
}
