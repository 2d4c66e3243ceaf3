//! Keys, certificates and the way to them, on real files.

mod acls;
mod delivered;
mod files;
mod namespaces;
mod parents;
mod state;
