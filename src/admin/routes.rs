//! The paths there are, each with its one method.
//!
//! Owns the list and how a path is compared with it: segment by segment and byte by byte, never by prefix and with no
//! normalisation, so that no second spelling of a path leads anywhere. Only a name within a path is decoded.

use percent_encoding::percent_decode_str;

/// One operation as a client reaches it.
#[derive(Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// In audit lines and metrics.
    pub name: &'static str,
    pub method: &'static str,
    /// `{name}` stands for one segment.
    pub path: &'static str,
    pub operation: Operation,
}

/// What an endpoint leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    Status,
    Upstreams,
    SetServer,
    Reload,
    Drain,
    Posture,
    Certificates,
    Renew,
    Revoke,
    Rollover,
    Deactivate,
}

macro_rules! endpoints {
    ($($operation:ident $name:literal $method:literal $path:literal)+) => {
        /// Every one, in the order of the documentation.
        pub const ENDPOINTS: &[Endpoint] = &[$(
            Endpoint { name: $name, method: $method, path: $path, operation: Operation::$operation },
        )+];
    };
}

endpoints! {
    Status "status" "GET" "/v1/status"
    Reload "reload" "POST" "/v1/reload"
    Drain "drain" "POST" "/v1/drain"
    Posture "posture" "GET" "/v1/posture"
    Upstreams "upstreams" "GET" "/v1/upstreams"
    SetServer "set_server" "POST" "/v1/upstreams/{upstream}/servers/{server}"
    Certificates "certs" "GET" "/v1/certs"
    Renew "certs_renew" "POST" "/v1/certs/{name}/renew"
    Revoke "certs_revoke" "POST" "/v1/certs/{name}/revoke"
    Rollover "acme_rollover" "POST" "/v1/acme/rollover"
    Deactivate "acme_deactivate" "POST" "/v1/acme/deactivate"
}

/// Why a request leads nowhere.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Miss {
    Path,
    /// The path is there, with this method.
    Method(&'static str),
}

/// The endpoint of `path` and the names within it.
pub(super) fn find(method: &str, path: &str) -> Result<(&'static Endpoint, Vec<String>), Miss> {
    let fits = |endpoint: &'static Endpoint| Some((endpoint, names(endpoint.path, path)?));
    let (endpoint, names) = ENDPOINTS.iter().find_map(fits).ok_or(Miss::Path)?;
    // RFC 9110 section 9.1: methods are case-sensitive.
    if endpoint.method == method { Ok((endpoint, names)) } else { Err(Miss::Method(endpoint.method)) }
}

/// What `path` has where `pattern` has names; `None` where they differ.
fn names(pattern: &str, path: &str) -> Option<Vec<String>> {
    let mut names = Vec::new();
    let mut segments = path.split('/');
    for expected in pattern.split('/') {
        let segment = segments.next()?;
        if expected.starts_with('{') {
            names.push(decoded(segment)?);
        } else if segment != expected {
            return None;
        }
    }
    segments.next().is_none().then_some(names)
}

/// A name as the configuration may have it, printable ASCII without a slash; `None` for anything else.
fn decoded(segment: &str) -> Option<String> {
    let name = percent_decode_str(segment).decode_utf8().ok()?;
    let fits = |byte: u8| byte.is_ascii_graphic() && byte != b'/';
    (!name.is_empty() && name.len() <= LONGEST && name.bytes().all(fits)).then(|| name.into_owned())
}

/// A host name with its port; other names are shorter.
const LONGEST: usize = 300;

#[cfg(test)]
mod tests {
    use super::*;

    fn found(method: &str, path: &str) -> Option<(&'static str, Vec<String>)> {
        find(method, path).ok().map(|(endpoint, names)| (endpoint.name, names))
    }

    #[test]
    fn finds_each_path_by_its_one_method() {
        for endpoint in ENDPOINTS {
            let path = endpoint.path.replace(['{', '}'], "");
            assert_eq!(find(endpoint.method, &path).unwrap().0, endpoint);
            let other = if endpoint.method == "GET" { "POST" } else { "GET" };
            for wrong in [other, "HEAD", "OPTIONS", "PUT", "get", "post"] {
                assert_eq!(find(wrong, &path), Err(Miss::Method(endpoint.method)), "{wrong} {path}");
            }
        }
    }

    #[test]
    fn reads_names_as_they_are_meant() {
        let server = |path| found("POST", path).map(|(_, names)| names[1].clone());
        assert_eq!(server("/v1/upstreams/app/servers/a.test:80").as_deref(), Some("a.test:80"));
        assert_eq!(server("/v1/upstreams/app/servers/%5B::1%5D:80").as_deref(), Some("[::1]:80"));
        assert_eq!(server("/v1/upstreams/app/servers/[::1]:80").as_deref(), Some("[::1]:80"));
    }

    /// The admin access lists of others were got round by prefixes and by second spellings.
    #[test]
    fn no_second_spelling_leads_anywhere() {
        for path in [
            "",
            "/",
            "/v1",
            "/v1/",
            "/v1/status/",
            "//v1/status",
            "/v1//status",
            "/V1/status",
            "/v1/Status",
            "/v1/%73tatus",
            "/v1/status%2F",
            "/v1/./status",
            "/v1/x/../status",
            "/v1/status;x",
            "/v1/statuses",
            "/v1/status/more",
            "/v2/status",
            "v1/status",
            "*",
        ] {
            assert_eq!(find("GET", path), Err(Miss::Path), "{path}");
        }
        for path in [
            "/v1/certs//renew",
            "/v1/certs/a%2Fb/renew",
            "/v1/certs/a%00/renew",
            "/v1/certs/a%20b/renew",
            "/v1/certs/%FF/renew",
            "/v1/certs/a/renew/",
            "/v1/certs/a/b/renew",
            "/v1/certs/%C3%A9/renew",
        ] {
            assert_eq!(find("POST", path), Err(Miss::Path), "{path}");
        }
        assert_eq!(find("POST", &format!("/v1/certs/{}/renew", "a".repeat(301))), Err(Miss::Path));
    }
}
