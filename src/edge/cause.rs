//! Every way a request can fail, and what is said of each: the one table.
//!
//! Owns, for each cause, the status, the public text, the level of its diagnostic, the stable word that
//! the access log and the metric `fluxheim_http_errors_total` call it by, and its explanation for the
//! operator. No wildcard arm: a new cause forces a decision here. Sends nothing, and knows no framework.

mod own;

use crate::wire::Violation;

pub use own::Failure;

/// Why a request failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cause {
    /// Of the request as it came: how it was framed, or how slowly it came.
    Framing(Violation),
    NoHost,
    ManyHosts,
    BadHost,
    BadTarget,
    BadLength,
    MethodNotServed,
    HeaderTooLarge,
    TooManyFields,
    UnknownHost,
    /// The TLS connection was made for another host.
    Misdirected,
    NoRoute,
    /// `access` keeps the client's address out.
    AddressDenied,
    /// The vhost lets in clients with a certificate only.
    CertificateRequired,
    /// The client's certificate is none that is let in.
    CertificateDenied,
    /// It was good at the handshake, and is no more.
    CertificateInvalid,
    /// A preflight of a page that `cors` does not list.
    OriginDenied,
    /// No credentials, or none that can be read.
    NoCredentials,
    WrongPassword,
    /// A token that is not good.
    InvalidToken,
    /// A good token that says too little.
    ClaimsDenied,
    /// The service of `forward_auth` asks for a login.
    AuthRequired,
    /// It said no.
    AuthForbidden,
    /// It gave no answer that means anything.
    AuthFailed,
    /// It gave none in time.
    AuthTimeout,
    /// The keys of tokens have not been had yet.
    NoKeys,
    /// Too many passwords wait to be judged.
    PasswordsBusy,
    /// There are routes for this path, and they take other methods.
    RouteMethod,
    /// A field whose name has an underscore, where that is refused.
    Underscore,
    BodyTooLarge,
    UriTooLong,
    RateLimited,
    /// The client has too many requests at once.
    TooManyAtOnce,
    QueueFull,
    QueueTimeout,
    /// It took too long in all.
    RequestTimeout,
    /// A static file asked for with a method other than GET and HEAD.
    MethodNotAllowed,
    FileNotFound,
    FileForbidden,
    /// The framework could not make sense of what the client sent.
    ClientProtocol,
    /// The client sent nothing more for too long.
    ClientReadTimeout,
    /// The client took nothing more for too long.
    ClientWriteTimeout,
    /// The client closed or reset the connection, or its stream, before it had its response.
    ClientGone,
    /// No server of the upstream has an address.
    UpstreamNoAddress,
    /// None of its servers may be used just now.
    UpstreamNoHealthyPeer,
    /// They have all they may have, and none came free in time.
    UpstreamBusy,
    UpstreamConnectRefused,
    UpstreamConnectTimeout,
    /// No connection for another reason: no route, no permission, no descriptor.
    UpstreamConnectFailed,
    UpstreamTlsFailed,
    UpstreamTlsTimeout,
    /// The server reset the connection.
    UpstreamReset,
    /// The server closed the connection before its response was complete.
    UpstreamClosed,
    UpstreamReadTimeout,
    UpstreamWriteTimeout,
    /// What the server sent is not HTTP.
    UpstreamProtocol,
    /// Cut at `drain_timeout`, when the process ended.
    DrainTimeout,
    /// A fault of our own.
    Internal,
}

/// How loudly a failure is said on stderr, beside its access line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loudness {
    /// Any client can cause it: `debug`.
    Debug,
    /// Something behind us is broken: `warn`.
    Warn,
    /// We are: `error`.
    Error,
}

struct Row {
    status: u16,
    name: &'static str,
    text: &'static str,
    loudness: Loudness,
    detail: &'static str,
}

const fn client(status: u16, name: &'static str, text: &'static str, detail: &'static str) -> Row {
    Row { status, name, text, loudness: Loudness::Debug, detail }
}

/// 502: no answer that could be passed on.
const fn bad_gateway(name: &'static str, detail: &'static str) -> Row {
    Row { status: 502, name, text: "upstream failed\n", loudness: Loudness::Warn, detail }
}

/// 503: not now; nothing was asked of the upstream.
const fn unavailable(name: &'static str, detail: &'static str) -> Row {
    Row { status: 503, name, text: "no upstream available\n", loudness: Loudness::Warn, detail }
}

/// 504: no answer in time.
const fn timed_out(name: &'static str, detail: &'static str) -> Row {
    Row { status: 504, name, text: "upstream timed out\n", loudness: Loudness::Warn, detail }
}

impl Cause {
    /// Every cause but those of framing, which are listed by [`Violation::ALL`].
    pub const ALL_OTHERS: [Self; 57] = [
        Self::NoHost,
        Self::ManyHosts,
        Self::BadHost,
        Self::BadTarget,
        Self::BadLength,
        Self::MethodNotServed,
        Self::HeaderTooLarge,
        Self::TooManyFields,
        Self::UnknownHost,
        Self::Misdirected,
        Self::NoRoute,
        Self::AddressDenied,
        Self::CertificateRequired,
        Self::CertificateDenied,
        Self::CertificateInvalid,
        Self::OriginDenied,
        Self::NoCredentials,
        Self::WrongPassword,
        Self::InvalidToken,
        Self::ClaimsDenied,
        Self::AuthRequired,
        Self::AuthForbidden,
        Self::AuthFailed,
        Self::AuthTimeout,
        Self::NoKeys,
        Self::PasswordsBusy,
        Self::RouteMethod,
        Self::Underscore,
        Self::BodyTooLarge,
        Self::UriTooLong,
        Self::RateLimited,
        Self::TooManyAtOnce,
        Self::QueueFull,
        Self::QueueTimeout,
        Self::RequestTimeout,
        Self::MethodNotAllowed,
        Self::FileNotFound,
        Self::FileForbidden,
        Self::ClientProtocol,
        Self::ClientReadTimeout,
        Self::ClientWriteTimeout,
        Self::ClientGone,
        Self::UpstreamNoAddress,
        Self::UpstreamNoHealthyPeer,
        Self::UpstreamBusy,
        Self::UpstreamConnectRefused,
        Self::UpstreamConnectTimeout,
        Self::UpstreamConnectFailed,
        Self::UpstreamTlsFailed,
        Self::UpstreamTlsTimeout,
        Self::UpstreamReset,
        Self::UpstreamClosed,
        Self::UpstreamReadTimeout,
        Self::UpstreamWriteTimeout,
        Self::UpstreamProtocol,
        Self::DrainTimeout,
        Self::Internal,
    ];

    const fn row(self) -> Row {
        const TOO_LARGE: &str = "request header too large\n";
        match self {
            Self::Framing(violation) => {
                client(violation.status(), violation.name(), violation.text(), violation.explanation())
            }
            Self::NoHost => client(400, "no_host", "bad Host\n", "the request has no Host"),
            Self::ManyHosts => client(400, "many_hosts", "bad Host\n", "the request has more than one Host"),
            Self::BadHost => client(400, "bad_host", "bad Host\n", "the Host is not valid"),
            Self::BadTarget => client(400, "target", "bad request target\n", "the path is not one to serve"),
            Self::BadLength => {
                client(400, "content_length", "bad Content-Length\n", "the Content-Length is not one number")
            }
            Self::MethodNotServed => {
                client(405, "method_not_served", "method not allowed\n", "TRACE and CONNECT are not served")
            }
            Self::HeaderTooLarge => {
                client(431, "header_too_large", TOO_LARGE, "the header fields are over max_header_size")
            }
            Self::TooManyFields => {
                client(431, "too_many_fields", TOO_LARGE, "there are more fields than max_header_count")
            }
            Self::UnknownHost => {
                client(421, "unknown_host", "unknown host\n", "no vhost answers for this host")
            }
            Self::Misdirected => client(
                421,
                "misdirected",
                "misdirected request\n",
                "the TLS connection was made for another host",
            ),
            Self::NoRoute => client(404, "no_route", "not found\n", "no route takes this request"),
            Self::AddressDenied => {
                client(403, "address_denied", "forbidden\n", "the client's address may not come in")
            }
            Self::CertificateRequired => client(
                403,
                "client_certificate_required",
                "client certificate required\n",
                "the vhost asks for a client certificate, and the connection has none",
            ),
            Self::CertificateDenied => client(
                403,
                "client_certificate_denied",
                "forbidden\n",
                "the client's certificate is not one of those that allow_san and allow_fingerprint name",
            ),
            Self::CertificateInvalid => client(
                403,
                "client_certificate_invalid",
                "client certificate required\n",
                "the client's certificate was good at the handshake, and is no more",
            ),
            Self::OriginDenied => {
                client(403, "origin_denied", "forbidden\n", "a preflight of an origin that is not listed")
            }
            Self::NoCredentials => client(
                401,
                "no_credentials",
                "unauthorized\n",
                "the request has no credentials that can be read",
            ),
            Self::WrongPassword => {
                client(401, "wrong_password", "unauthorized\n", "no user has this name and password")
            }
            Self::InvalidToken => client(401, "invalid_token", "unauthorized\n", "the token is not good"),
            Self::ClaimsDenied => client(
                403,
                "claims_denied",
                "forbidden\n",
                "the token does not have the claims that are asked for",
            ),
            Self::AuthRequired => {
                client(401, "auth_required", "unauthorized\n", "the service of forward_auth asks for a login")
            }
            Self::AuthForbidden => {
                client(403, "auth_forbidden", "forbidden\n", "the service of forward_auth denied the request")
            }
            Self::AuthFailed => {
                bad_gateway("auth_failed", "the service of forward_auth gave no answer that can be used")
            }
            Self::AuthTimeout => {
                timed_out("auth_timeout", "the service of forward_auth did not answer within its timeout")
            }
            Self::NoKeys => {
                unavailable("no_keys", "the key set that tokens are verified with has not been read yet")
            }
            Self::PasswordsBusy => {
                client(429, "passwords_busy", "too many requests\n", "too many passwords wait to be judged")
            }
            Self::RouteMethod => client(
                405,
                "route_method",
                "method not allowed\n",
                "the routes for this path take other methods",
            ),
            Self::Underscore => client(
                400,
                "header_underscore",
                "bad header field\n",
                "a field name has an underscore, and underscores_in_headers is refuse",
            ),
            Self::BodyTooLarge => {
                client(413, "body_too_large", "request body too large\n", "the body is over max_body_size")
            }
            Self::UriTooLong => client(
                414,
                "uri_too_long",
                "request target too long\n",
                "the request target is over max_uri_size",
            ),
            Self::RateLimited => client(
                429,
                "rate_limited",
                "too many requests\n",
                "a rule of rate_limit allows no more for now",
            ),
            Self::TooManyAtOnce => client(
                429,
                "too_many_at_once",
                "too many requests at once\n",
                "the client has as many requests as max_requests_per_client or max_concurrent_per_client allows",
            ),
            Self::QueueFull => client(
                503,
                "queue_full",
                "busy\n",
                "max_concurrent requests are being served and max_queue wait",
            ),
            Self::QueueTimeout => {
                client(503, "queue_timeout", "busy\n", "no place became free within queue_timeout")
            }
            Self::RequestTimeout => client(
                504,
                "request_timeout",
                "request timed out\n",
                "it took longer than request_timeout in all",
            ),
            Self::MethodNotAllowed => {
                client(405, "method_not_allowed", "method not allowed\n", "files are served to GET and HEAD")
            }
            Self::FileNotFound => client(404, "file_not_found", "not found\n", "there is no such file"),
            Self::FileForbidden => {
                client(403, "file_forbidden", "forbidden\n", "the file is not one to be served")
            }
            Self::ClientProtocol => {
                client(400, "client_protocol", "bad request\n", "what the client sent makes no sense")
            }
            Self::ClientReadTimeout => client(
                408,
                "client_read_timeout",
                "request timed out\n",
                "the client sent nothing more in time",
            ),
            Self::ClientWriteTimeout => {
                client(CLIENT_GONE, "client_write_timeout", "", "the client took nothing more in time")
            }
            Self::ClientGone => {
                client(CLIENT_GONE, "client_gone", "", "the client ended it before it had its response")
            }
            Self::UpstreamNoAddress => {
                bad_gateway("upstream_no_address", "no name of the upstream has resolved to an address")
            }
            Self::UpstreamNoHealthyPeer => {
                unavailable("upstream_no_healthy_peer", "no server of the upstream may be used just now")
            }
            Self::UpstreamBusy => {
                unavailable("upstream_busy", "every server of the upstream has max_in_flight requests")
            }
            Self::UpstreamConnectRefused => {
                bad_gateway("upstream_connect_refused", "the server refused the connection")
            }
            Self::UpstreamConnectTimeout => {
                timed_out("upstream_connect_timeout", "no connection to the server within connect_timeout")
            }
            Self::UpstreamConnectFailed => {
                bad_gateway("upstream_connect_failed", "there is no way to connect to the server")
            }
            Self::UpstreamTlsFailed => {
                bad_gateway("upstream_tls_failed", "the TLS handshake with the server failed")
            }
            Self::UpstreamTlsTimeout => timed_out(
                "upstream_tls_timeout",
                "the TLS handshake with the server was not over within connect_timeout",
            ),
            Self::UpstreamReset => bad_gateway("upstream_reset", "the server reset the connection"),
            Self::UpstreamClosed => bad_gateway(
                "upstream_closed",
                "the server closed the connection before its response was complete",
            ),
            Self::UpstreamReadTimeout => {
                timed_out("upstream_read_timeout", "the server sent nothing more within read_timeout")
            }
            Self::UpstreamWriteTimeout => {
                timed_out("upstream_write_timeout", "the server took nothing more within write_timeout")
            }
            Self::UpstreamProtocol => {
                bad_gateway("upstream_protocol", "what the server sent is not well-formed HTTP")
            }
            Self::DrainTimeout => client(
                CLIENT_GONE,
                "drain_timeout",
                "",
                "cut off, not complete when drain_timeout was over and the process ended",
            ),
            Self::Internal => Row {
                status: 500,
                name: "internal",
                text: "internal error\n",
                loudness: Loudness::Error,
                detail: "a fault of Fluxheim's own",
            },
        }
    }

    /// What it is answered with; 499, which is nginx's word and never sent, where nobody is left to
    /// answer.
    #[must_use]
    pub const fn status(self) -> u16 {
        self.row().status
    }

    /// Whether there is somebody to send an answer to.
    #[must_use]
    pub const fn is_answered(self) -> bool {
        self.status() != CLIENT_GONE
    }

    /// Its stable word in the access log and in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.row().name
    }

    /// What the client is told; says nothing about the inside.
    #[must_use]
    pub const fn text(self) -> &'static str {
        self.row().text
    }

    /// How loudly it is said.
    #[must_use]
    pub const fn loudness(self) -> Loudness {
        self.row().loudness
    }

    /// What it means, for the operator.
    #[must_use]
    pub const fn detail(self) -> &'static str {
        self.row().detail
    }
}

/// nginx's own status for a client that has gone; not registered with IANA and never sent.
pub const CLIENT_GONE: u16 = 499;

#[cfg(test)]
mod tests;
