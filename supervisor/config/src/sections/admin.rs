//! `[admin]`.
//!
//! Owns what the path of a socket may be, whoever listens there; makes none.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::tls;
use crate::Admin;
use crate::flaw::{Flaw, show};
use crate::section::Section;
use crate::value::path;

pub(crate) fn read(section: &Section<'_>) -> Admin {
    Admin { socket: socket_path(section, "admin") }
}

/// What `socket` says, if it is good; `name` is what an example of one is called.
pub(crate) fn socket_path(section: &Section<'_>, name: &str) -> Option<PathBuf> {
    let socket = section.read("socket", "the path of a socket", |text| socket(text, name)).good();
    let at = socket.as_ref().map(|socket| socket.at);
    let socket = socket.map(|socket| tls::resolved(section, socket));
    if let (Some(at), Some(path)) = (at, &socket)
        && path.as_os_str().len() > LONGEST
    {
        let flaw = Flaw::new(format!("{} has more than {LONGEST} bytes", show(&path.to_string_lossy())));
        section.here(
            "socket",
            at,
            flaw.help("the kernel takes no longer one for a socket (unix(7)): choose a shorter path"),
        );
    }
    socket
}

fn socket(text: &str, name: &str) -> Result<PathBuf, Flaw> {
    let path = path::file(text)?;
    if text.parse::<SocketAddr>().is_ok() || text.contains("://") {
        let flaw = Flaw::new(format!("{} is no path, and nothing else is listened on here", show(text)));
        return Err(flaw.help(format!("write the path of a socket: \"/run/fluxheim/{name}.sock\"")));
    }
    let named = Path::new(text).file_name().is_some() && !text.ends_with(['/', '.']);
    if named {
        return Ok(path);
    }
    Err(Flaw::new(format!("{} names a folder", show(text)))
        .help(format!("name the socket too: \"/run/fluxheim/{name}.sock\"")))
}

/// `sun_path` of unix(7), less its NUL.
const LONGEST: usize = 107;
