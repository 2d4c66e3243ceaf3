//! `[acme.storage]`: where the state is kept.
//!
//! Owns that it is one place; opens nothing.

use std::path::PathBuf;
use std::time::Duration;

use super::file;
use crate::flaw::{Flaw, show};
use crate::schema;
use crate::section::{At, Read, Section};
use crate::sections::tls::resolved;
use crate::value::{address, duration, path};
use crate::{AcmeRedis, AcmeStorage, UpstreamHost};

const FOLDER: &str = "/var/lib/fluxheim";
/// A server that takes longer is as good as gone.
const TIMEOUT: Duration = Duration::from_secs(5);
const SEAL: &str = "the path of a file, or a list of them";
const ADDRESS: &str = "\"host:port\"";

pub(super) fn read(section: &Section<'_>) -> Option<AcmeStorage> {
    let folder = section.read("path", "the path of a folder", path::file);
    if !section.has("redis") {
        return Some(AcmeStorage::Folder(match folder {
            Read::Good(at) => resolved(section, at),
            Read::Absent | Read::Flawed => PathBuf::from(FOLDER),
        }));
    }
    if let Read::Good(At { at, .. }) = folder {
        let flaw = Flaw::new("the state is kept in one place, and redis names another");
        section.here("path", at, flaw.help("remove path or redis"));
    }
    redis(&section.optional("redis", &schema::ACME_REDIS)?).map(AcmeStorage::Redis)
}

fn redis(section: &Section<'_>) -> Option<AcmeRedis> {
    let address = section.require("address", ADDRESS, server);
    let tls = section.boolean("tls").certain(true);
    let ca_file = file(section, "ca_file");
    if let (Some(false), Read::Good(At { at, .. })) = (tls, &ca_file) {
        let flaw = Flaw::new("nobody is asked for a certificate of it beside tls = false");
        section.here("ca_file", *at, flaw.help("remove tls = false, or ca_file"));
    }
    let username = section.read("username", "the name of an ACL user", username).good();
    let password = file(section, "password_file");
    if let (Some(username), Read::Absent) = (&username, &password)
        && !section.may_hide("password_file")
    {
        let flaw = Flaw::new("an ACL user has a password");
        section.here("username", username.at, flaw.help("add password_file"));
    }
    let seal = seal_keys(section);
    let prefix = section.read("prefix", "what all keys begin with", prefix);
    let database = section.number("database", 0..=65_535).or(0);
    let timeout = section.read("timeout", duration::EXPECTED, duration::positive);
    let (host, port) = address?.value;
    Some(AcmeRedis {
        host,
        port,
        tls: tls?,
        ca_file: ca_file.good().map(|at| at.value),
        username: username.map(|at| at.value),
        password_file: password.good().map(|at| at.value),
        seal_key_files: seal?,
        prefix: prefix.good().map_or_else(|| "fluxheim:".to_owned(), |at| at.value),
        database,
        timeout: timeout.or(TIMEOUT),
    })
}

/// One, or several while instances change from one to the next.
fn seal_keys(section: &Section<'_>) -> Option<Vec<PathBuf>> {
    let files = section.one_or_more("seal_key_file", SEAL).map_items(|node| {
        let text = section.text("seal_key_file", SEAL, node)?;
        let value = section.judge("seal_key_file", node.at, path::file(text))?;
        Some(At { at: node.at, value })
    });
    let files = match files {
        Read::Absent => {
            section.missing("seal_key_file", "the path of a file with a key: openssl rand -hex 32");
            return None;
        }
        files => files.good()?,
    };
    if files.value.is_empty() {
        section.here(
            "seal_key_file",
            files.at,
            Flaw::new("the list is empty").help("name the file of a key"),
        );
        return None;
    }
    Some(files.value.into_iter().map(|file| resolved(section, file)).collect())
}

fn server(text: &str) -> Result<(UpstreamHost, u16), Flaw> {
    if let Some((scheme @ ("redis" | "rediss" | "valkey" | "valkeys"), _)) = text.split_once("://") {
        let tls = scheme.ends_with("ss") || scheme.ends_with("ys");
        let flaw = Flaw::new(format!("{} is a URL", show(text)));
        return Err(flaw.help(format!("write host and port only, with tls = {tls}")));
    }
    match address::upstream(text)? {
        (UpstreamHost::Service(_), _) => {
            Err(Flaw::new(format!("{} is a service", show(text))).help("name one server"))
        }
        server => Ok(server),
    }
}

fn username(text: &str) -> Result<String, Flaw> {
    if !text.is_empty() && text.len() <= 128 && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(text.to_owned());
    }
    Err(Flaw::new(format!("{} is not the name of an ACL user", show(text))))
}

/// Braces would choose the shard of a cluster.
fn prefix(text: &str) -> Result<String, Flaw> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b":._-/".contains(&byte);
    if text.len() <= 64 && text.bytes().all(fits) {
        return Ok(text.to_owned());
    }
    Err(Flaw::new(format!("{} can't begin a key", show(text)))
        .help("use up to 64 of the characters a-z A-Z 0-9 : . _ - /"))
}
