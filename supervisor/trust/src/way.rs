//! Where the name of a file leads just now, and in which folders a change of that would be seen.
//!
//! Owns the comparing of ways, for whoever waits for files to be replaced. Opens nothing for reading and
//! judges nothing: that is done when the file is read anew. Follows path_resolution(7).

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::node::Facts;
use crate::walk::{Cause, End, Ground, Passed, Trail};

/// The way to one file as it was seen: equal to a later one while nothing on it has changed, neither a
/// folder, nor a link, nor the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Way {
    steps: Vec<Step>,
    end: Result<Facts, Broken>,
    places: Vec<Place>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Folder(Facts),
    Link(PathBuf, PathBuf),
}

/// Where and why it can't be gone to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Broken {
    Missing(PathBuf),
    Denied(PathBuf),
    Other(PathBuf),
}

/// Something that changes when the way does.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Place {
    /// An entry of a folder; the path of the folder is free of links.
    Entry(PathBuf, OsString),
    /// A file that is mounted alone: nothing is seen of it in the folder that it appears in.
    Mounted(PathBuf),
}

impl Way {
    /// What to watch: each link, and the file itself or the first name that leads nowhere.
    #[must_use]
    pub fn places(&self) -> &[Place] {
        &self.places
    }
}

/// The ways to files, each volume that is exchanged by a link as it was at one moment.
#[must_use]
pub fn ways<'a>(paths: impl IntoIterator<Item = &'a Path>) -> Vec<Way> {
    let ground = Ground::new();
    paths.into_iter().map(|path| way(ground.to(path))).collect()
}

fn way(trail: Trail) -> Way {
    let steps = trail.passed.iter().map(|passed| match passed {
        Passed::Folder { dir, .. } => Step::Folder(dir.facts.apart_from_entries()),
        Passed::Link { path, target } => Step::Link(path.clone(), target.clone()),
    });
    let links = trail.passed.iter().filter_map(|passed| match passed {
        Passed::Link { path, .. } => entry(path),
        Passed::Folder { .. } => None,
    });
    let steps = steps.collect();
    let mut places: Vec<_> = links.collect();
    let end = match trail.end {
        Ok(End::Entry(file)) => {
            let path = file.path();
            places.extend(entry(&path));
            places.extend(file.facts.mount_root.then_some(Place::Mounted(path)));
            Ok(file.facts)
        }
        Ok(End::Folder(dir)) => {
            places.extend(entry(&dir.path));
            Ok(dir.facts.apart_from_entries())
        }
        Err(stop) => {
            places.extend(entry(&stop.path));
            Err(match stop.cause {
                Cause::Missing => Broken::Missing(stop.path),
                Cause::Denied(_) => Broken::Denied(stop.path),
                Cause::NotAFolder(_) | Cause::LinkLoop | Cause::Os(_) => Broken::Other(stop.path),
            })
        }
    };
    places.dedup();
    Way { steps, end, places }
}

fn entry(path: &Path) -> Option<Place> {
    Some(Place::Entry(path.parent()?.to_owned(), path.file_name()?.to_owned()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::testing::{Scratch, US};

    fn of(path: &Path) -> Way {
        ways([path]).remove(0)
    }

    fn place(folder: &Path, name: &str) -> Place {
        Place::Entry(folder.canonicalize().unwrap(), name.into())
    }

    #[test]
    fn stays_the_same_until_the_file_or_a_folder_on_the_way_is_another() {
        let scratch = Scratch::new();
        scratch.folder("tls", US, 0o755);
        let file = scratch.file("tls/a.pem", b"one", US, 0o644);
        let before = of(&file);
        assert_eq!(before, of(&file));
        scratch.file("tls/other", b"x", US, 0o644);
        assert_eq!(before, of(&file), "another entry is none of its business");
        scratch.file("tls/new", b"one", US, 0o644);
        std::fs::rename(scratch.path("tls/new"), &file).unwrap();
        let renamed = of(&file);
        assert_ne!(before, renamed, "as long, and another file");
        std::fs::write(&file, b"longer").unwrap();
        let written = of(&file);
        assert_ne!(renamed, written);
        std::fs::rename(scratch.path("tls"), scratch.path("old")).unwrap();
        assert_ne!(written, of(&file));
        std::fs::rename(scratch.path("old"), scratch.path("tls")).unwrap();
        assert_eq!(written, of(&file));
        scratch.mode("tls", 0o700);
        assert_ne!(written, of(&file));
    }

    #[test]
    fn looks_at_links_and_at_what_they_lead_to() {
        let scratch = Scratch::new();
        for date in ["..one", "..two"] {
            scratch.folder(date, US, 0o755);
            scratch.file(&format!("{date}/a.pem"), b"a", US, 0o644);
        }
        symlink("..one", scratch.path("..data")).unwrap();
        symlink("..data/a.pem", scratch.path("a.pem")).unwrap();
        let (root, file) = (scratch.path(""), scratch.path("a.pem"));
        let before = of(&file);
        assert_eq!(
            before.places(),
            [place(&root, "a.pem"), place(&root, "..data"), place(&scratch.path("..one"), "a.pem")]
        );
        std::fs::remove_file(scratch.path("..data")).unwrap();
        assert_eq!(of(&file).places().last(), Some(&place(&root, "..data")));
        symlink("..two", scratch.path("..data")).unwrap();
        assert_ne!(before, of(&file));
    }

    #[test]
    fn looks_at_the_first_name_that_leads_nowhere() {
        let scratch = Scratch::new();
        let file = scratch.path("tls/deep/a.pem");
        assert_eq!(of(&file).places(), [place(&scratch.path(""), "tls")]);
        scratch.folder("tls", US, 0o755);
        assert_eq!(of(&file).places(), [place(&scratch.path("tls"), "deep")]);
    }
}
