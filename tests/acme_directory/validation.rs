//! Looking for what a challenge asks for, from outside, as a CA does (RFC 8555, section 8; RFC 8737;
//! RFC 8738).

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_lc_rs::digest::{SHA256, digest};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme};
use x509_parser::extensions::{GeneralName, ParsedExtension};

use super::jws::encode;
use super::persist::{Expected, accounturi};
use super::problem::Problem;
use super::service::Service;
use super::setup::{Draft, Setup};
use super::state::Identifier;

/// Everything that a validation needs to know.
pub(super) struct Plan {
    setup: Setup,
    kind: &'static str,
    identifier: Identifier,
    token: String,
    /// Of the account's keys, the newest last.
    thumbprints: Vec<String>,
    account: String,
    prefix: String,
}

impl Plan {
    pub(super) fn new(
        service: &Service,
        kind: &'static str,
        identifier: Identifier,
        token: String,
        account: usize,
        thumbprints: Vec<String>,
    ) -> Self {
        let account = service.url(&format!("/account/{account}"));
        let prefix = service.url("/account-hash/");
        Self { setup: service.setup(), kind, identifier, token, thumbprints, account, prefix }
    }

    pub(super) fn kind(&self) -> &'static str {
        self.kind
    }

    /// Takes its time.
    pub(super) fn check(&self) -> Result<(), Problem> {
        std::thread::sleep(self.setup.validation_delay);
        match self.kind {
            "http-01" => self.http(),
            "tls-alpn-01" => self.tls_alpn(),
            "dns-01" => self.dns(),
            "dns-persist-01" => self.persist(),
            kind => Err(Problem::malformed(format!("{kind} is no challenge"))),
        }
    }

    fn key_authorization(&self) -> String {
        format!("{}.{}", self.token, self.thumbprints.last().unwrap())
    }

    /// Without following redirects: the edge answers before it redirects.
    fn http(&self) -> Result<(), Problem> {
        let mut socket = connect(self.setup.http_port)?;
        let host = match self.identifier.base().parse::<IpAddr>() {
            Ok(IpAddr::V6(address)) => format!("[{address}]"),
            _ => self.identifier.base().to_owned(),
        };
        let request = format!(
            "GET /.well-known/acme-challenge/{} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\
             User-Agent: acme-directory\r\n\r\n",
            self.token
        );
        let mut answer = Vec::new();
        socket.write_all(request.as_bytes()).map_err(|error| unreachable(&error))?;
        socket.take(65_536).read_to_end(&mut answer).map_err(|error| unreachable(&error))?;
        let text = String::from_utf8_lossy(&answer);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.split(' ').nth(1).unwrap_or_default();
        if status != "200" {
            return Err(Problem::unauthorized(format!("status {status:?} where the answer should be")));
        }
        match body.trim_end() == self.key_authorization() {
            true => Ok(()),
            false => Err(Problem::unauthorized(format!("{body:?} is not the key authorization"))),
        }
    }

    fn tls_alpn(&self) -> Result<(), Problem> {
        let socket = connect(self.setup.tls_port)?;
        let name = self.identifier.base();
        // An address is asked for as a name, that of its reverse mapping (RFC 8738, section 6).
        let name = name.parse::<IpAddr>().map_or_else(|_| name.to_owned(), reverse);
        let certificate = shake_hands(socket, name)?;
        let digest = digest(&SHA256, self.key_authorization().as_bytes());
        self.judge(&certificate, digest.as_ref()).map_err(Problem::unauthorized)
    }

    /// RFC 8737, section 3: exactly the name, and the digest, critical.
    fn judge(&self, der: &[u8], digest: &[u8]) -> Result<(), String> {
        let (_, certificate) = x509_parser::parse_x509_certificate(der).map_err(|error| error.to_string())?;
        let names = certificate.subject_alternative_name().map_err(|error| error.to_string())?;
        let names = names.map(|extension| extension.value.general_names.clone()).unwrap_or_default();
        let wanted = self.identifier.base();
        let fits = match (names.as_slice(), wanted.parse::<IpAddr>()) {
            ([GeneralName::DNSName(name)], Err(_)) => name.eq_ignore_ascii_case(wanted),
            ([GeneralName::IPAddress(octets)], Ok(IpAddr::V4(address))) => *octets == address.octets(),
            ([GeneralName::IPAddress(octets)], Ok(IpAddr::V6(address))) => *octets == address.octets(),
            _ => false,
        };
        if !fits {
            return Err(format!("the certificate is for {names:?}, not for {wanted} alone"));
        }
        let identifier =
            certificate.extensions().iter().find(|one| one.oid.to_id_string() == "1.3.6.1.5.5.7.1.31");
        let identifier = identifier.ok_or("the certificate has no acmeIdentifier")?;
        if !identifier.critical || identifier.value != [&[4, 32], digest].concat() {
            return Err("acmeIdentifier is not critical, or another digest".into());
        }
        match identifier.parsed_extension() {
            ParsedExtension::ParseError { error } => Err(error.to_string()),
            _ => Ok(()),
        }
    }

    fn dns(&self) -> Result<(), Problem> {
        let name = format!("_acme-challenge.{}", self.identifier.base());
        let wanted = encode(digest(&SHA256, self.key_authorization().as_bytes()).as_ref());
        let found = self.txt(&name)?;
        match found.contains(&wanted) {
            true => Ok(()),
            false => Err(Problem::unauthorized(format!("{name} has {found:?}, and not {wanted}"))),
        }
    }

    fn persist(&self) -> Result<(), Problem> {
        let domain = self.identifier.base();
        let hashed = |thumbprint: &String| {
            [domain, "*"].map(|domain| accounturi(&self.prefix, domain, thumbprint, &self.account))
        };
        let accounturis = match self.setup.persist {
            Draft::One => vec![self.account.clone()],
            Draft::Two => self.thumbprints.iter().rev().flat_map(hashed).collect(),
        };
        let wildcard = self.identifier.is_wildcard();
        let expected = Expected { accounturis, issuers: self.setup.issuers.clone(), wildcard };
        expected.judge(&self.txt(&format!("_validation-persist.{domain}"))?, SystemTime::now())
    }

    /// The TXT records of a name, by dig.
    fn txt(&self, name: &str) -> Result<Vec<String>, Problem> {
        let resolver =
            self.setup.resolver.ok_or_else(|| Problem::new(400, "dns", "no resolver is set up"))?;
        let (at, port) = (format!("@{}", resolver.ip()), resolver.port().to_string());
        let arguments = [at.as_str(), "-p", &port, "+short", "+time=2", "+tries=2", "TXT", name];
        let output = crate::support::run("dig", "bind9-dnsutils", &arguments);
        let text = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() {
            return Err(Problem::new(400, "dns", format!("{name}: {}", text.trim())));
        }
        // What is no text is a name on the way, of a CNAME.
        Ok(text.lines().filter(|line| line.starts_with('"')).map(join).collect())
    }
}

/// The strings of a record, one text (RFC 1035, section 5.1).
fn join(line: &str) -> String {
    line.trim_matches('"').replace("\" \"", "").replace("\\\"", "\"").replace("\\;", ";")
}

fn connect(port: u16) -> Result<TcpStream, Problem> {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let limit = Duration::from_secs(5);
    let socket = TcpStream::connect_timeout(&address, limit).map_err(|error| unreachable(&error))?;
    socket.set_read_timeout(Some(limit)).map_err(|error| unreachable(&error))?;
    Ok(socket)
}

fn unreachable(error: &std::io::Error) -> Problem {
    Problem::new(400, "connection", error.to_string())
}

/// `in-addr.arpa` or `ip6.arpa`.
fn reverse(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        IpAddr::V6(address) => {
            let nibbles = address.octets().into_iter().rev().flat_map(|octet| [octet & 15, octet >> 4]);
            nibbles.map(|nibble| format!("{nibble:x}.")).collect::<String>() + "ip6.arpa"
        }
    }
}

/// The certificate that is shown to who speaks `acme-tls/1`.
fn shake_hands(mut socket: TcpStream, name: String) -> Result<CertificateDer<'static>, Problem> {
    let tls = |error: &dyn std::fmt::Display| Problem::new(400, "tls", error.to_string());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = Arc::new(Anything(provider.signature_verification_algorithms));
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| tls(&error))?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"acme-tls/1".to_vec()];
    let name = ServerName::try_from(name).map_err(|error| tls(&error))?;
    let mut connection = ClientConnection::new(Arc::new(config), name).map_err(|error| tls(&error))?;
    while connection.is_handshaking() {
        connection.complete_io(&mut socket).map_err(|error| tls(&error))?;
    }
    if connection.alpn_protocol() != Some(b"acme-tls/1") {
        return Err(Problem::unauthorized("acme-tls/1 was not agreed to"));
    }
    let shown = connection.peer_certificates().unwrap_or_default();
    match shown {
        [one] => Ok(one.clone().into_owned()),
        _ => Err(Problem::unauthorized(format!("{} certificates were shown, not one", shown.len()))),
    }
}

/// Believes any certificate: it is judged afterwards. The peer has to have its key.
#[derive(Debug)]
struct Anything(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for Anything {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("TLS 1.3 was offered alone".into()))
    }

    /// By the key as it stands there: rustls takes no certificate with a critical extension that it does not
    /// know, and acmeIdentifier is one.
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let (_, parsed) = x509_parser::parse_x509_certificate(certificate)
            .map_err(|error| rustls::Error::General(error.to_string()))?;
        let key = SubjectPublicKeyInfoDer::from(parsed.public_key().raw);
        verify_tls13_signature_with_raw_key(message, &key, signature, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
