//! Exit codes of both programs, the one table (docs/exit-codes.md repeats it).
//!
//! They keep clear of 125 to 137, which container runtimes and shells use; the numbers are those
//! of sysexits(3) where it has one.

/// All is well.
pub const OK: u8 = 0;
/// The command line is wrong (EX_USAGE).
pub const USAGE: u8 = 64;
/// A fault of our own (EX_SOFTWARE).
pub const INTERNAL: u8 = 70;
/// Not now; the same call may work later (EX_TEMPFAIL).
pub const TRY_AGAIN: u8 = 75;
/// Refused: configuration, policy or storage (EX_CONFIG).
pub const REFUSED: u8 = 78;
/// The proxy program was found but could not be executed.
pub const CANNOT_EXEC: u8 = 126;
/// The proxy program was not found.
pub const NOT_FOUND: u8 = 127;
/// Added to a signal's number when the proxy ended by it.
pub const SIGNAL_BASE: u8 = 128;
