//! How clients prove who they are: policies of a vhost or route.
//!
//! Owns the validated types; judges no request. Policies are made only by [`crate::parse`].

use std::path::PathBuf;

/// `basic_auth`: a user name and password (RFC 7617).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BasicAuth {
    /// Lines of `user:hash`, the hash in the PHC format of argon2id.
    pub users_file: PathBuf,
    /// What the browser's dialogue shows. Default "restricted".
    pub realm: String,
    /// Whether the upstream gets the `Authorization` field. Default false.
    pub forward_authorization: bool,
    /// The field that tells the upstream who it is; lower case.
    pub user_header: Option<String>,
}
