//! Reaching an object, judging it, and holding it open for whoever may read it.
//!
//! Owns the order: walk, look, open without waiting, judge what was opened. The rules themselves
//! are in `rules`. Nothing but regular files is opened for reading. Follows open(2).

use std::ffi::OsString;
use std::fs::File;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;

use crate::delivery::{self, Delivery};
use crate::finding::Finding;
use crate::node::{self, AclSeen, Facts, Kind};
use crate::object::{Object, Role};
use crate::rules::{self, Subject};
use crate::seen::Seen;
use crate::terms::Judge;
use crate::tree;
use crate::walk::{Cause, Dir, End, Entry, Ground, Passed, Trail};

/// What became of one object.
#[derive(Debug, Default)]
pub(crate) struct Inspection {
    pub findings: Vec<Finding>,
    /// How many more there were, none of them worse.
    pub left_out: usize,
    /// Of the object itself, when it was reached.
    pub seen: Option<Seen>,
    /// The very file that was judged.
    pub file: Option<Judged>,
    /// The very folder that was judged.
    pub folder: Option<Rc<Dir>>,
    /// Whether the way led through a link by which a whole volume is exchanged.
    pub is_of_volume: bool,
}

impl Inspection {
    /// Whether nothing that was found forbids it.
    pub(crate) fn may_be_used(&self) -> bool {
        self.findings.iter().all(|finding| finding.severity.allows_use())
    }
}

/// A readable file with the facts that were judged.
#[derive(Debug)]
pub(crate) struct Judged {
    pub file: File,
    pub facts: Facts,
    pub path: PathBuf,
    /// The folder and the name through which it was reached.
    pub parent: Rc<Dir>,
    pub name: OsString,
}

/// The name led to another inode by the time it was opened, or to none any more.
#[derive(Debug)]
pub(crate) struct Moved {
    /// What to say if it never holds still.
    findings: Vec<Finding>,
}

/// Walks to the object over fresh ground and judges it; again when it is replaced meanwhile.
pub(crate) fn inspect(object: &Object, judge: &Judge<'_>) -> Inspection {
    for _ in 1..ATTEMPTS {
        if let Ok(inspection) = attempt(object, judge, &Ground::new()) {
            return inspection;
        }
    }
    attempt(object, judge, &Ground::new()).unwrap_or_else(Moved::given_up)
}

/// The same over ground that other objects were reached by too.
///
/// # Errors
/// It was replaced meanwhile: try again over fresh ground.
pub(crate) fn attempt(object: &Object, judge: &Judge<'_>, ground: &Ground) -> Result<Inspection, Moved> {
    inspect_trail(object.role, judge, ground.to(&object.path))
}

/// The same for a way that the caller went.
pub(crate) fn inspect_trail(role: Role, judge: &Judge<'_>, trail: Trail) -> Result<Inspection, Moved> {
    let Trail { passed, end, .. } = trail;
    let is_of_volume = delivery::is_through_data(&passed);
    let mut inspection = match end {
        Err(stop) => {
            // A volume that is filled only later is judged when it is.
            let pending = matches!(stop.cause, Cause::Missing) && delivery::leads_to_data(&passed);
            let way = if pending { Vec::new() } else { judge.passed(role, &passed, None, &None) };
            let mut findings = way;
            findings.push(judge.stop(role, &stop));
            // What a rotation removes was reached through a link that leads elsewhere by now.
            if matches!(stop.cause, Cause::Missing) && is_of_volume {
                return Err(Moved { findings });
            }
            Inspection { findings, ..Inspection::default() }
        }
        Ok(End::Folder(dir)) => folder(role, judge, &passed, dir),
        Ok(End::Entry(entry)) => self::entry(role, judge, &passed, &entry)?,
    };
    rules::deduplicate(&mut inspection.findings);
    Ok(Inspection { is_of_volume, ..inspection })
}

fn folder(role: Role, judge: &Judge<'_>, passed: &[Passed], dir: Rc<Dir>) -> Inspection {
    let (delivery, lacking) = delivery::recognise_folder(role, passed, &dir, judge.identity);
    let mut findings = judge.passed(role, passed, delivery.as_ref(), &lacking);
    let mut seen = Seen::new(&dir.facts, &dir.mount, passed, delivery.as_ref());
    let mut left_out = 0;
    match role {
        Role::StaticRoot => findings.extend(judge.static_root(&dir)),
        Role::SocketFolder => {
            seen.set_acl(dir.acl());
            findings.extend(tree::judge_alone(judge, role, &dir, delivery.as_ref()));
        }
        Role::StateFolder => {
            let kept = tree::judge(judge, &dir, delivery.as_ref());
            seen.set_acl(dir.acl());
            seen.entries = Some(kept.entries);
            let (of_tree, more) = kept.findings.into_parts();
            findings.extend(of_tree);
            left_out = more;
        }
        _ => findings.push(judge.wrong_kind(role, &dir.path, &dir.facts)),
    }
    Inspection { findings, left_out, seen: Some(seen), folder: Some(dir), ..Inspection::default() }
}

fn entry(role: Role, judge: &Judge<'_>, passed: &[Passed], entry: &Entry) -> Result<Inspection, Moved> {
    let path = entry.path();
    let (delivery, lacking) = delivery::recognise(role, passed, &entry.facts, &entry.mount, judge.identity);
    let mut findings = judge.passed(role, passed, delivery.as_ref(), &lacking);
    let seen = Seen::new(&entry.facts, &entry.mount, passed, delivery.as_ref());
    if entry.facts.kind != Kind::Regular || role.is_folder() {
        findings.push(judge.wrong_kind(role, &path, &entry.facts));
        return Ok(Inspection { findings, seen: Some(seen), ..Inspection::default() });
    }
    let opened = match open(entry) {
        Ok((_, facts)) if !facts.same_inode(&entry.facts) || is_gone(&facts) => Err(Errno::ESTALE),
        opened => opened,
    };
    match opened {
        Ok((file, facts)) => {
            let acl = AclSeen::of(file.as_fd());
            let subject = subject(role, &path, &facts, entry, &acl, delivery.as_ref());
            let own_acl = entry.mount.may_have_own_acls().then(|| node::own_acl(file.as_fd())).flatten();
            findings.extend(judge.file(&Subject { opened: true, own_acl, ..subject }));
            let seen = Some(seen.of_file(&facts, &acl));
            let (parent, name) = (Rc::clone(&entry.parent), entry.name.clone());
            let file = Some(Judged { file, facts, path, parent, name });
            Ok(Inspection { findings, seen, file, ..Inspection::default() })
        }
        Err(Errno::ENOENT | Errno::ELOOP | Errno::ENXIO | Errno::ESTALE) => {
            findings.push(rules::changing(&path));
            Err(Moved { findings })
        }
        Err(errno) => {
            let acl = AclSeen::of_path(entry.fd.as_fd());
            let subject = subject(role, &path, &entry.facts, entry, &acl, delivery.as_ref());
            findings.extend(judge.file(&subject));
            findings.push(judge.unopened(&path, &entry.facts, &acl, delivery.as_ref(), errno));
            let seen = Some(seen.of_file(&entry.facts, &acl));
            Ok(Inspection { findings, seen, ..Inspection::default() })
        }
    }
}

/// Whether it has no name any more. One that is mounted alone stays when the host puts another file in
/// its place.
const fn is_gone(facts: &Facts) -> bool {
    facts.links == 0 && !facts.mount_root
}

fn subject<'a>(
    role: Role,
    path: &'a Path,
    facts: &'a Facts,
    entry: &'a Entry,
    acl: &'a AclSeen,
    delivery: Option<&'a Delivery>,
) -> Subject<'a> {
    Subject { role, path, facts, mount: &entry.mount, acl, own_acl: None, delivery, opened: false }
}

fn open(entry: &Entry) -> Result<(File, Facts), Errno> {
    let file = File::from(openat(&entry.parent.fd, entry.name.as_os_str(), READ, Mode::empty())?);
    let facts = Facts::of(&file)?;
    Ok((file, facts))
}

impl Moved {
    /// It never held still.
    pub(crate) fn given_up(self) -> Inspection {
        let Self { mut findings } = self;
        rules::deduplicate(&mut findings);
        Inspection { findings, ..Inspection::default() }
    }
}

/// Neither waits for a FIFO's writer nor takes a terminal, should the name lead to one by now.
pub(crate) const READ: OFlag = OFlag::O_RDONLY
    .union(OFlag::O_NOFOLLOW)
    .union(OFlag::O_NONBLOCK)
    .union(OFlag::O_NOCTTY)
    .union(OFlag::O_CLOEXEC);

/// A rotation replaces a name once; more than this many times in a row is no rotation.
pub(crate) const ATTEMPTS: usize = 512;

#[cfg(test)]
mod tests;
