//! What a TLS handshake has settled.

/// What is known of a client's TLS connection; told once, when the handshake is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFacts {
    /// `TLSv1.2` or `TLSv1.3`.
    pub version: &'static str,
    /// Such as `TLS13_AES_256_GCM_SHA384`.
    pub cipher: &'static str,
    /// What the keys were agreed on with, such as `X25519MLKEM768`; a resumed TLS 1.2 session has none.
    pub group: Option<&'static str>,
    /// The name that the client asked for (RFC 6066 section 3), lower case, without a trailing dot.
    pub sni: Option<Box<str>>,
    /// The protocol agreed on (RFC 7301).
    pub alpn: Option<&'static str>,
    /// Whether an earlier session was taken up.
    pub resumed: bool,
}
