//! Who can read or replace a file, and the only door through which files are opened.
//!
//! Owns the storage policy (`docs/storage.md`): one set of rules, used by the check and by the
//! load, and what is judged is the very descriptor that is read. Decides nothing about what files
//! mean and never prints what is in them. Follows openat2(2), path_resolution(7) and acl(5).
#![expect(clippy::disallowed_methods, reason = "this crate is the door")]

pub mod acl;
pub mod bounded;
mod check;
pub mod command;
mod config_files;
mod delivery;
mod finding;
mod identity;
mod inspect;
mod memory;
mod mount;
mod node;
mod object;
mod overflow;
mod pair;
mod pem;
mod program;
mod repair;
mod report;
mod rules;
mod secret;
mod seen;
mod sense;
pub mod socket;
mod state;
mod static_root;
#[expect(
    unsafe_code,
    reason = "statx(2), getxattr(2), preadv2(2) and mappings have no safe wrapper among the dependencies"
)]
mod sys;
mod terms;
mod tickets;
mod tree;
mod users;
mod walk;
pub mod way;

#[cfg(test)]
mod testing;

pub use check::{How, check};
pub use config_files::{ConfigProblem, ConfigUnreadable, read_config};
pub use delivery::DeliveryKind;
pub use finding::{Code, Finding, Severity};
pub use identity::Identity;
pub use memory::{Keeping, SecretPages};
pub use object::{
    HOOK_SOCKET, Inventory, Item, NamedHost, Object, Pair, Role, ShownTo, acme_ca, acme_dns,
    acme_external_account, acme_folder, acme_redis_ca, acme_redis_password, acme_seal_keys, ca_bundle,
    certificate_name, client_ca_bundle, client_pair, client_revocation_lists, inventory, ocsp_response, pair,
    socket_folder, sticky_key, ticket_keys,
};
pub use pair::{PairRead, read_pair};
pub use pem::{Instead, KeyForm, PemError, PemKey, ca_certificates, certificate_chain, revocation_lists};
pub use program::judge_program;
pub use repair::Repaired;
pub use report::{ObjectReport, Outcome, StorageReport};
pub use secret::{Refused, Secret, read};
pub use seen::{DeliverySeen, MountSeen, Seen};
pub use sense::{CertificateFacts, judge_contents, no_cas};
pub use state::{Failure, Stamp, StateError, StateFolder, StateLock};
pub use static_root::{
    Listed, Listing, StaticEntry, StaticError, StaticRoot, StaticRootUnusable, read_cached,
};
pub use terms::Terms;
pub use tickets::{BadTicketKeys, ticket_secrets};
pub use users::{BadUser, bad_users};
