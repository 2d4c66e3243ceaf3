//! fluxheim-init from the outside: the real program, real processes, real signals.
//!
//! The proxy's part is played by this very test program (`act`). Needs root, unshare(1), nsenter(1),
//! setsid(1) and setpriv(1) of util-linux, script(1) of bsdutils, env(1) of coreutils and strace(1); a
//! test that lacks one fails and says so.
#![expect(clippy::disallowed_methods, reason = "test fixtures are written and read by plain std::fs")]

#[cfg(test)]
mod act;
#[cfg(test)]
mod children;
#[cfg(test)]
mod codes;
#[cfg(test)]
mod docs;
#[cfg(test)]
mod exec;
#[cfg(test)]
#[path = "../../../../tests/fixtures.rs"]
mod fixtures;
#[cfg(test)]
mod health;
#[cfg(test)]
mod notify;
#[cfg(test)]
mod pid1;
#[cfg(test)]
mod posture;
#[cfg(test)]
mod refusal;
#[cfg(test)]
mod root;
#[cfg(test)]
mod scene;
#[cfg(test)]
mod signals;
#[cfg(test)]
mod sleep;
#[cfg(test)]
mod trace;
#[cfg(test)]
mod unprivileged;
