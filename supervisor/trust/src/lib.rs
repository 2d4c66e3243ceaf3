//! Who can read or replace a file, and the only door through which files are opened.
//!
//! Owns the storage policy (`docs/storage.md`): one set of rules, used by the check and by the
//! load, and what is judged is the very descriptor that is read. Decides nothing about what files
//! mean and never prints what is in them. Follows openat2(2), path_resolution(7) and acl(5).

mod config_files;
mod finding;
mod identity;
mod inspect;
mod memory;
mod node;
mod object;
mod overflow;
mod pem;
mod report;
mod rules;
mod secret;
#[cfg_attr(not(test), expect(dead_code, reason = "the storage check is about to call it"))]
mod sense;
mod static_root;
#[expect(unsafe_code, reason = "fgetxattr(2) and mappings have no safe wrapper among the dependencies")]
mod sys;
mod walk;

#[cfg(test)]
mod testing;

pub use config_files::{ConfigProblem, ConfigUnreadable, read_config};
pub use finding::{Code, Finding, Severity};
pub use identity::Identity;
pub use inspect::check;
pub use memory::{Keeping, SecretPages};
pub use object::{Object, Role, inventory};
pub use pem::{Instead, KeyForm, PemError, PemKey, certificate_chain};
pub use report::{ObjectReport, StorageReport};
pub use secret::{Refused, Secret, read};
pub use sense::CertificateFacts;
pub use static_root::{StaticEntry, StaticError, StaticRoot, StaticRootUnusable};
