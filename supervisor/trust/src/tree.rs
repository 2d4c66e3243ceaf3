//! A folder that is kept, with everything below it.
//!
//! Owns the walk downwards and its bounds: so many entries, so deep, never onto another mount, and
//! no link is followed. The rules are `rules`'s. Follows getdents(2) and openat(2).

mod gathered;

use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::rc::Rc;

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;

use crate::delivery::Delivery;
use crate::finding::{Code, Finding};
use crate::inspect::READ;
use crate::mount::Mount;
use crate::node::{self, AclSeen, Facts, Kind};
use crate::object::{Object, Role};
use crate::repair::{self, Repaired};
use crate::rules::{self, Kept, Subject};
use crate::terms::Judge;
use crate::walk::{Dir, End, Ground};

pub(crate) use gathered::Gathered;

/// What was found below a folder, itself included.
#[derive(Debug)]
pub(crate) struct Tree {
    pub findings: Gathered,
    /// Files and folders judged.
    pub entries: usize,
}

/// Judges `root` and everything below it.
pub(crate) fn judge(judge: &Judge<'_>, root: &Rc<Dir>, delivery: Option<&Delivery>) -> Tree {
    let mut walk = Walk { judge, root, delivery, findings: Gathered::default(), entries: 0 };
    walk.folder(root, 0);
    let Walk { findings, entries, .. } = walk;
    Tree { findings, entries }
}

/// Judges a folder that the proxy writes, without what is in it.
pub(crate) fn judge_alone(
    judge: &Judge<'_>,
    role: Role,
    dir: &Dir,
    delivery: Option<&Delivery>,
) -> Vec<Finding> {
    let default_acl = AclSeen::default_of_path(dir.fd.as_fd());
    judge.state_folder(&Kept {
        role,
        path: &dir.path,
        facts: &dir.facts,
        mount: &dir.mount,
        acl: dir.acl(),
        own_acl: own_acl(&dir.mount, &dir.fd),
        default_acl: &default_acl,
        delivery,
    })
}

/// Takes from `object` and everything below it what it grants too much.
pub(crate) fn tighten(judge: &Judge<'_>, object: &Object) -> Vec<Repaired> {
    let ground = Ground::new();
    let Ok(End::Folder(root)) = ground.to(&object.path).end else { return Vec::new() };
    if repair::is_shared(&root.facts) {
        return Vec::new();
    }
    let mut repaired = Vec::new();
    tighten_folder(judge, &root, &root.facts, 0, &mut repaired);
    repaired
}

fn tighten_folder(
    judge: &Judge<'_>,
    dir: &Rc<Dir>,
    root: &Facts,
    depth: usize,
    repaired: &mut Vec<Repaired>,
) {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    if let (false, Ok(fd)) = (repair::is_kubelets(&dir.facts), openat(&dir.fd, ".", flags, Mode::empty())) {
        repaired.extend(repair::change(judge, Role::StateFolder, fd, dir.path.clone()));
    }
    let Ok((names, _)) = dir.names(MOST_ENTRIES) else { return };
    for name in names {
        let Ok((fd, facts)) = dir.peek(&name) else { continue };
        match facts.kind {
            _ if facts.mount != root.mount || repaired.len() >= MOST_ENTRIES => {}
            Kind::Folder if depth < DEEPEST => {
                tighten_folder(judge, &dir.enter(&name, fd, facts), root, depth + 1, repaired);
            }
            Kind::Regular => repaired.extend(tighten_file(judge, dir, &name, &facts)),
            _ => {}
        }
    }
}

fn tighten_file(judge: &Judge<'_>, dir: &Dir, name: &OsStr, looked: &Facts) -> Option<Repaired> {
    let fd = openat(&dir.fd, name, READ, Mode::empty()).ok()?;
    Facts::of(&fd).ok().filter(|facts| facts.same_inode(looked))?;
    repair::change(judge, Role::StateFolder, fd, dir.path.join(name))
}

struct Walk<'a> {
    judge: &'a Judge<'a>,
    root: &'a Dir,
    delivery: Option<&'a Delivery>,
    findings: Gathered,
    entries: usize,
}

impl Walk<'_> {
    fn folder(&mut self, dir: &Rc<Dir>, depth: usize) {
        self.entries += 1;
        let found = judge_alone(self.judge, Role::StateFolder, dir, self.delivery);
        let foreign = found.iter().any(|finding| finding.code == Code::ForeignOwner);
        self.findings.extend(found);
        if depth == DEEPEST {
            return self.findings.push(rules::too_deep(&dir.path, DEEPEST));
        }
        match dir.names(MOST_ENTRIES.saturating_sub(self.entries)) {
            Ok((names, complete)) => {
                names.iter().for_each(|name| self.entry(dir, name, depth));
                if !complete {
                    self.findings.push(rules::too_many(&self.root.path, MOST_ENTRIES));
                }
            }
            // Whose it is not can't enter it either, and has been told so.
            Err(Errno::EACCES) if foreign => {}
            Err(Errno::EACCES) => self.findings.push(self.judge.closed(dir)),
            Err(errno) => self.findings.push(rules::os_error(&dir.path, "listing it failed", &errno)),
        }
    }

    fn entry(&mut self, dir: &Rc<Dir>, name: &OsStr, depth: usize) {
        let path = dir.path.join(name);
        let (fd, facts) = match dir.peek(name) {
            Ok(seen) => seen,
            // The proxy that keeps this folder may be at work in it.
            Err(Errno::ENOENT) => return,
            Err(errno) => return self.findings.push(rules::os_error(&path, "looking at it failed", &errno)),
        };
        if is_lost_and_found(dir, name, &facts) {
            return;
        }
        if facts.mount_root || facts.mount != self.root.facts.mount {
            return self.findings.push(rules::mount_inside(&path, &dir.mount_of(name, &fd, &facts)));
        }
        match facts.kind {
            Kind::Folder => self.folder(&dir.enter(name, fd, facts), depth + 1),
            Kind::Regular => {
                self.entries += 1;
                let acl = AclSeen::of_path(fd.as_fd());
                let role = Role::StateFolder;
                let (mount, delivery) = (&*dir.mount, self.delivery);
                let own_acl = own_acl(mount, &fd);
                let (path, facts, acl) = (&*path, &facts, &acl);
                let subject = Subject { role, path, facts, mount, acl, own_acl, delivery, opened: true };
                self.findings.extend(self.judge.file(&subject));
            }
            _ => {
                self.entries += 1;
                self.findings.push(self.judge.foreign_entry(&path, &facts));
            }
        }
    }
}

/// Asked for only where there may be one.
fn own_acl(mount: &Mount, fd: &OwnedFd) -> Option<&'static str> {
    mount.may_have_own_acls().then(|| node::own_acl_of_path(fd.as_fd())).flatten()
}

/// What mkfs(8) leaves in the root of a filesystem, closed to all but root.
fn is_lost_and_found(dir: &Dir, name: &OsStr, facts: &Facts) -> bool {
    let closed = facts.uid == 0 && facts.mode & 0o7007 == 0 && facts.kind == Kind::Folder;
    dir.facts.mount_root && name == Path::new("lost+found") && closed
}

/// ACME needs three levels.
const DEEPEST: usize = 16;
/// A certificate takes some five; more than this is not a folder that only a proxy writes. Bounds what
/// is judged; a listing under way may hold as many names once more for each level.
const MOST_ENTRIES: usize = 20_000;
