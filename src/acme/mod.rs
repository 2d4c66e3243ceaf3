//! Certificates by ACME (RFC 8555).
//!
//! Owns how control over a name is shown by DNS, in `dns`, and where accounts, orders and certificates are kept,
//! in `store`.

pub mod dns;
pub mod store;
