//! A program that is about to be started: nobody but root and the user it runs as can have put it there.
//!
//! Owns the judgement alone; starts nothing. Between this and the start the name leads to the same file, as
//! nobody else may write a folder on the way.

use std::path::Path;
use std::time::Duration;

use crate::bounded;
use crate::identity::Identity;
use crate::inspect;
use crate::object::{Object, Role};
use crate::rules;
use crate::secret::Refused;
use crate::terms::{Judge, Terms};

/// Judges the program at `path` for this process, under the strictest terms; `name` is who names it.
///
/// # Errors
/// Everything that is wrong with the file and the way to it.
pub fn judge_program(name: &str, path: &Path) -> Result<(), Refused> {
    let object = Object { role: Role::HookProgram, name: name.to_owned(), path: path.to_owned() };
    let asked = object.clone();
    let judged = bounded::within(PATIENCE, move || {
        let terms = Terms::strict(Identity::current());
        let inspection = inspect::inspect(&asked, &Judge::new(&terms));
        (inspection.may_be_used(), inspection.findings)
    });
    match judged {
        Ok((true, _)) => Ok(()),
        Ok((false, findings)) => Err(Refused { object, findings }),
        Err(late) => {
            let findings = vec![rules::late(&object.path, &late)];
            Err(Refused { object, findings })
        }
    }
}

/// Much longer than a disk that lives needs.
const PATIENCE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::finding::Code;
    use crate::testing::{STRANGER, Scratch};

    fn refused(path: &Path) -> Vec<Code> {
        match judge_program("dns-hook", path) {
            Ok(()) => Vec::new(),
            Err(refused) => refused.findings.iter().map(|finding| finding.code).collect(),
        }
    }

    #[test]
    fn takes_only_what_nobody_else_can_have_put_there() {
        let scratch = Scratch::new();
        let program = scratch.file("hook", b"#!/bin/sh\n", 0, 0o755);
        assert_eq!(refused(&program), []);
        for (mode, code) in
            [(0o775, Code::WritableByOthers), (0o757, Code::WritableByOthers), (0o4755, Code::SpecialBits)]
        {
            scratch.mode("hook", mode);
            assert_eq!(refused(&program), [code], "{mode:o}");
        }
        scratch.mode("hook", 0o700);
        assert_eq!(refused(&program), []);
        symlink("hook", scratch.path("link")).unwrap();
        assert_eq!(refused(&scratch.path("link")), [Code::Symlink]);
        assert_eq!(refused(&scratch.path("none")), [Code::Missing]);
        assert_eq!(refused(&scratch.path("")), [Code::NotAFile]);
        scratch.file("other", b"#!/bin/sh\n", STRANGER, 0o755);
        assert_eq!(refused(&scratch.path("other")), [Code::ForeignOwner]);
    }

    #[test]
    fn refuses_a_folder_that_others_can_write() {
        let scratch = Scratch::new();
        scratch.folder("open", 0, 0o777);
        let program = scratch.file("open/hook", b"#!/bin/sh\n", 0, 0o755);
        assert_eq!(refused(&program), [Code::ParentWritable]);
    }
}
