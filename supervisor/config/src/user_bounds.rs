//! How strong a hash of a file of users has to be, and how much one may cost.
//!
//! Owns the numbers that the storage check and the proxy share; neither reads the other's.

pub const MOST_USERS: usize = 10_000;
/// KiB of memory: a few hashes at once must not fill a machine.
pub const MOST_MEMORY: u64 = 256 << 10;
pub const MOST_PASSES: u64 = 10;
pub const MOST_LANES: u64 = 4;
/// KiB. The least that OWASP's cheat sheet names, in memory and in memory times passes.
pub const LEAST_MEMORY: u64 = 7168;
pub const LEAST_WORK: u64 = 5 * LEAST_MEMORY;
/// Bytes.
pub const LEAST_SALT: usize = 8;
/// Bytes.
pub const LEAST_OUTPUT: usize = 16;
