//! `--hash-password`: a line of stdin to a hash of it.
//!
//! Owns the asking: on a terminal the password is not shown. It is never an argument, which others could
//! read, and is wiped once it is hashed.

use std::io::{IsTerminal, Read, Write};
use std::os::fd::AsFd;

use fluxheim_config::exit;
use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use crate::policy::basic::users;

/// Prints the hash; the value is the exit code.
pub(super) fn hash() -> u8 {
    let password = match read() {
        Ok(password) => password,
        Err(error) => {
            super::say(&format!("fluxheim: cannot read the password from stdin: {error}"));
            return exit::INTERNAL;
        }
    };
    let line = password.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.is_empty() || line.len() > MOST {
        super::say(&format!("fluxheim: the password on stdin must have 1 to {MOST} bytes in its first line"));
        return exit::USAGE;
    }
    match users::hash(line) {
        Ok(hash) => super::print(&format!("{hash}\n")),
        Err(error) => {
            super::say(&format!("fluxheim: {error}"));
            exit::INTERNAL
        }
    }
}

/// The first line, or what is there up to the most.
fn read() -> std::io::Result<Zeroizing<Vec<u8>>> {
    let stdin = std::io::stdin();
    let _hidden = stdin.is_terminal().then(Hidden::new).transpose()?;
    // With room for all of it, so that growing leaves no copy behind.
    let mut password = Zeroizing::new(Vec::with_capacity(MOST + 3));
    let mut byte = Zeroizing::new([0; 1]);
    let mut input = std::fs::File::from(stdin.as_fd().try_clone_to_owned()?);
    while password.len() < MOST + 2 && !password.ends_with(b"\n") && input.read(&mut *byte)? == 1 {
        password.extend_from_slice(&*byte);
    }
    Ok(password)
}

/// A terminal that does not show what is typed; as it was, when dropped.
struct Hidden(Termios);

impl Hidden {
    fn new() -> std::io::Result<Self> {
        let before = tcgetattr(std::io::stdin())?;
        let mut hidden = before.clone();
        hidden.local_flags.remove(LocalFlags::ECHO);
        hidden.local_flags.insert(LocalFlags::ECHONL);
        tcsetattr(std::io::stdin(), SetArg::TCSAFLUSH, &hidden)?;
        let _ = write!(std::io::stderr(), "password: ");
        Ok(Self(before))
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        let _ = tcsetattr(std::io::stdin(), SetArg::TCSANOW, &self.0);
    }
}

/// Longer ones are cut off by nobody, but typed by nobody either.
const MOST: usize = 1024;
