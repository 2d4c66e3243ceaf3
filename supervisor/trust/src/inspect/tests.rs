//! Keys, certificates and the way to them, on real files.

mod files;
mod parents;
