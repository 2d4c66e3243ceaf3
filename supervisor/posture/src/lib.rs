//! Hardening controls: how each is applied, read back from the kernel, judged and reported.
//!
//! Owns the report, the judgements and the handoff between `fluxheim-init` and the proxy. Opens no
//! file an operator can write (that is `fluxheim-trust`): only /proc and /sys, see proc(5).

pub mod apply;
pub mod confine;
pub mod environment;
pub mod evidence;
pub mod handoff;
pub mod judge;
pub mod proxy;
pub mod report;
pub mod usage;

mod kernel;
mod parse;
mod sys;

pub use kernel::Unread;
pub use report::{ControlReport, Errno, Outcome, Report};
