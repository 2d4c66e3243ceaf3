//! `basic_auth`: a file of users and what is said around it.
//!
//! Opens no file: the proxy reads it through `fluxheim-trust`.

use super::{REALM, realm};
use crate::BasicAuth;
use crate::schema;
use crate::section::{Read, Section};
use crate::sections::tls::resolved;
use crate::value::{field, path};

/// The key of a vhost or route.
pub(crate) fn read(section: &Section<'_>) -> Read<Option<BasicAuth>> {
    super::table_or_off(section, "basic_auth", &schema::BASIC_AUTH, table)
}

fn table(section: &Section<'_>) -> Option<BasicAuth> {
    let users_file = section.require("users_file", "the path of a file of users", path::file);
    let realm = section.read("realm", "a string", realm).or(REALM.to_owned());
    let forward_authorization = section.boolean("forward_authorization").or(false);
    let user_header = section.read("user_header", "the name of a header field", field::end_to_end).good();
    Some(BasicAuth {
        users_file: resolved(section, users_file?),
        realm,
        forward_authorization,
        user_header: user_header.map(|at| at.value),
    })
}
