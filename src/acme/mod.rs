//! Certificates by ACME (RFC 8555).
//!
//! Owns how control over a name is shown by DNS, in `dns`.

pub mod dns;
