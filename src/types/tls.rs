//! What a TLS handshake has settled.

use std::net::IpAddr;
use std::sync::Arc;

use super::ShownCertificate;

/// What is known of a client's TLS connection; told once, when the handshake is over.
#[derive(Debug, Clone)]
pub struct TlsFacts {
    /// `TLSv1.2` or `TLSv1.3`.
    pub version: &'static str,
    /// Such as `TLS13_AES_256_GCM_SHA384`.
    pub cipher: &'static str,
    /// What the keys were agreed on with, such as `X25519MLKEM768`; a resumed TLS 1.2 session has none.
    pub group: Option<&'static str>,
    /// The name that the client asked for (RFC 6066 section 3), lower case, without a trailing dot.
    pub sni: Option<Box<str>>,
    /// The address of ours that it came to; with the PROXY protocol, the one that the header names.
    pub local: Option<IpAddr>,
    /// The protocol agreed on (RFC 7301).
    pub alpn: Option<&'static str>,
    /// Whether an earlier session was taken up.
    pub resumed: bool,
    /// The certificate that the client has shown to a vhost that asks for one; found good.
    pub client: Option<Arc<ShownCertificate>>,
    /// For whom the certificate is that the client was shown.
    pub names: Arc<[String]>,
}

impl TlsFacts {
    /// Whether the certificate that the client was shown is for `host`, which is in lower case; a wildcard
    /// stands for exactly one label (RFC 9525 section 6.3).
    #[must_use]
    pub fn certified_for(&self, host: &str) -> bool {
        let parent = host.split_once('.').map(|(_, parent)| parent);
        let is_for = |name: &String| {
            name == host || name.strip_prefix("*.").is_some_and(|above| Some(above) == parent)
        };
        self.names.iter().any(is_for)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_stands_for_one_label() {
        let names = ["a.test", "*.b.test", "192.0.2.1"].map(str::to_owned);
        let facts = TlsFacts {
            version: "TLSv1.3",
            cipher: "X",
            group: None,
            sni: None,
            local: None,
            alpn: None,
            resumed: false,
            names: names.into(),
            client: None,
        };
        for host in ["a.test", "x.b.test", "192.0.2.1"] {
            assert!(facts.certified_for(host), "{host}");
        }
        for host in ["b.test", "x.y.b.test", "x.a.test", "test", ""] {
            assert!(!facts.certified_for(host), "{host}");
        }
    }
}
