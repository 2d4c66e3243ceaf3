//! Certificates of clients: whose are believed, by vhost.
//!
//! Owns reading CAs and revocation lists, and the verification of what clients show (RFC 5280 section 6):
//! in the handshake, and again for connections that outlive what they were verified by. A file that can't
//! be used keeps the whole configuration from being used (CVE-2026-27586 is a proxy that went on without).

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use fluxheim_config::{self as config, ClientAuthMode, Config};
use fluxheim_trust::{Object, Terms};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, RootCertStore,
    SignatureScheme,
};
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime};

use super::{CertificateError as Unusable, identity};
use crate::types::ShownCertificate;

/// Of every vhost; `None` where it asks for no certificates.
#[derive(Debug, Clone, Default)]
pub struct ClientAuths(Vec<Option<Arc<ClientAuth>>>);

/// Whom a vhost believes.
#[derive(Debug)]
pub struct ClientAuth {
    vhost: String,
    verifier: Arc<Verifier>,
    /// What is worth mending of its files.
    warning: Option<String>,
    /// No other has it, not even one of the same files read again.
    id: u64,
}

impl ClientAuths {
    /// Reads what the vhosts of `config` name.
    ///
    /// # Errors
    /// Every file that can't be used, not just the first.
    pub fn load(config: &Config, terms: &Terms) -> Result<Self, Vec<Unusable>> {
        let (mut all, mut errors) = (Vec::new(), Vec::new());
        for (index, vhost) in config.vhosts.iter().enumerate() {
            let Some(asked) = &vhost.client_auth else {
                all.push(None);
                continue;
            };
            match ClientAuth::load(config, index, asked, terms) {
                Ok(auth) => all.push(Some(Arc::new(auth))),
                Err(more) => errors.extend(more),
            }
        }
        if errors.is_empty() { Ok(Self(all)) } else { Err(errors) }
    }

    /// Whether one of these is made of `object`.
    #[must_use]
    pub fn are_of(config: &Config, object: &Object) -> bool {
        (0..config.vhosts.len()).any(|vhost| is_of(config, vhost, object))
    }

    /// Those that are made of `object`, read anew. What another vhost names can't hold them up: a list that
    /// revokes here is taken, whatever is wrong there.
    ///
    /// # Errors
    /// Every file of these vhosts that can't be used.
    pub fn read_anew(config: &Config, object: &Object, terms: &Terms) -> Result<Renewed, Vec<Unusable>> {
        let (mut renewed, mut errors) = (Vec::new(), Vec::new());
        for (index, vhost) in config.vhosts.iter().enumerate() {
            let Some(asked) = vhost.client_auth.as_ref().filter(|_| is_of(config, index, object)) else {
                continue;
            };
            match ClientAuth::load(config, index, asked, terms) {
                Ok(auth) => renewed.push((index, Arc::new(auth))),
                Err(more) => errors.extend(more),
            }
        }
        if errors.is_empty() { Ok(Renewed(renewed)) } else { Err(errors) }
    }

    /// These, with those that were read anew in their places.
    #[must_use]
    pub fn with(&self, renewed: Renewed) -> Self {
        let mut all = self.clone();
        for (index, auth) in renewed.0 {
            if let Some(place) = all.0.get_mut(index) {
                *place = Some(auth);
            }
        }
        all
    }

    /// That of a vhost.
    #[must_use]
    pub fn of(&self, vhost: usize) -> Option<&Arc<ClientAuth>> {
        self.0.get(vhost)?.as_ref()
    }

    /// What is worth mending of their files.
    pub fn warnings(&self) -> impl Iterator<Item = &String> {
        self.0.iter().flatten().filter_map(|auth| auth.warning.as_ref())
    }

    /// Every vhost that asks for certificates.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &Arc<ClientAuth>)> {
        self.0.iter().enumerate().filter_map(|(vhost, auth)| Some((vhost, auth.as_ref()?)))
    }
}

/// Of some vhosts, by their index.
#[derive(Debug)]
pub struct Renewed(Vec<(usize, Arc<ClientAuth>)>);

impl Renewed {
    /// What is worth mending of their files.
    pub fn warnings(&self) -> impl Iterator<Item = &String> {
        self.0.iter().filter_map(|(_, auth)| auth.warning.as_ref())
    }
}

fn is_of(config: &Config, vhost: usize, object: &Object) -> bool {
    fluxheim_trust::client_ca_bundle(config, vhost).as_ref() == Some(object)
        || fluxheim_trust::client_revocation_lists(config, vhost).contains(object)
}

impl ClientAuth {
    fn load(
        config: &Config,
        vhost: usize,
        asked: &config::ClientAuth,
        terms: &Terms,
    ) -> Result<Self, Vec<Unusable>> {
        let label = config.vhosts.get(vhost).map(config::Vhost::label).unwrap_or_default();
        let roots = roots(config, vhost, terms);
        let lists = lists(config, vhost, terms);
        let ((roots, warning), lists) = match (roots, lists) {
            (Ok(roots), Ok(lists)) => (roots, lists),
            (roots, lists) => {
                return Err(roots.err().into_iter().chain(lists.err().into_iter().flatten()).collect());
            }
        };
        let verifier =
            Verifier::new(asked, roots, lists).map_err(|error| vec![unusable(&asked.ca, &error)])?;
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        Ok(Self { vhost: label, verifier: Arc::new(verifier), warning, id })
    }

    /// What handshakes ask.
    #[must_use]
    pub fn verifier(&self) -> Arc<dyn ClientCertVerifier> {
        Arc::clone(&self.verifier) as _
    }

    /// How metrics call the vhost.
    #[must_use]
    pub fn vhost(&self) -> &str {
        &self.vhost
    }

    /// Whom a chain stands for that the verifier has taken.
    #[must_use]
    pub fn shown(&self, chain: &[CertificateDer<'_>], now: UnixTime) -> Option<ShownCertificate> {
        Some(ShownCertificate::new(identity::read(chain)?, self.id, now.as_secs()))
    }

    /// Whether the certificate is still good, by what is believed now. What was found a moment ago by
    /// the same is not looked for again.
    ///
    /// # Errors
    /// Why it is not.
    pub fn recheck(&self, shown: &ShownCertificate, now: UnixTime) -> Result<(), Error> {
        if shown.is_fresh(self.id, now.as_secs()) {
            return Ok(());
        }
        let chain: Vec<_> =
            shown.identity.chain.iter().map(|der| CertificateDer::from(der.as_slice())).collect();
        let (leaf, rest) = chain.split_first().ok_or(Error::NoCertificatesPresented)?;
        self.verifier.verify_client_cert(leaf, rest, now)?;
        shown.refresh(self.id, now.as_secs());
        Ok(())
    }
}

/// What the library verifies, and bounds that it has not.
#[derive(Debug)]
struct Verifier {
    inner: Arc<dyn ClientCertVerifier>,
    depth: usize,
    /// Whether clients are told whose certificates are believed.
    hints: bool,
}

impl Verifier {
    fn new(
        asked: &config::ClientAuth,
        roots: RootCertStore,
        lists: Vec<CertificateRevocationListDer<'static>>,
    ) -> Result<Self, String> {
        let hints: usize = roots.subjects().iter().map(|name| name.as_ref().len() + 2).sum();
        let mut builder = WebPkiClientVerifier::builder(Arc::new(roots)).with_crls(lists);
        if asked.mode == ClientAuthMode::Optional {
            builder = builder.allow_unauthenticated();
        }
        if asked.revocation.leaf_only {
            builder = builder.only_check_end_entity_revocation();
        }
        if asked.revocation.allow_unknown {
            builder = builder.allow_unknown_revocation_status();
        }
        if !asked.revocation.allow_expired {
            builder = builder.enforce_revocation_expiration();
        }
        let inner = builder.build().map_err(|error| error.to_string())?;
        Ok(Self { inner, depth: asked.verify_depth.into(), hints: hints <= MOST_HINTS })
    }
}

impl ClientCertVerifier for Verifier {
    fn offer_client_auth(&self) -> bool {
        self.inner.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.inner.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        if self.hints { self.inner.root_hint_subjects() } else { &[] }
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let bytes: usize = intermediates.iter().map(|der| der.len()).sum::<usize>() + end_entity.len();
        if intermediates.len() > self.depth || bytes > MOST_BYTES {
            return Err(Error::General(TOO_LONG.to_owned()));
        }
        let old = |error| old_form(error, std::iter::once(end_entity).chain(intermediates));
        let verified = self.inner.verify_client_cert(end_entity, intermediates, now).map_err(old)?;
        // What the library takes and we can't read would be somebody without a name.
        match identity::read(std::slice::from_ref(end_entity)) {
            Some(_) => Ok(verified),
            None => Err(Error::InvalidCertificate(CertificateError::BadEncoding)),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// What came of a client's certificate, as metrics and logs call it.
#[must_use]
pub fn outcome(error: &Error) -> Option<&'static str> {
    Some(match error {
        Error::NoCertificatesPresented => "missing",
        Error::General(why) if why == TOO_LONG => "too_long",
        Error::InvalidCertificate(error) => match error {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => "expired",
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => "not_yet_valid",
            CertificateError::Revoked => "revoked",
            CertificateError::UnknownIssuer => "unknown_ca",
            CertificateError::UnknownRevocationStatus => "unknown_revocation",
            CertificateError::ExpiredRevocationList
            | CertificateError::ExpiredRevocationListContext { .. } => "expired_crl",
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => "purpose",
            CertificateError::BadSignature => "signature",
            CertificateError::Other(other) if other.0.is::<OldForm>() => "version",
            _ => "invalid",
        },
        _ => return None,
    })
}

/// A certificate of X.509 version 1 or 2, as `openssl x509 -req` makes it without extensions. It can say neither
/// whom it is for nor what it may be used for (RFC 5280 section 4.1.2.1).
#[derive(Debug, thiserror::Error)]
#[error("a certificate is of X.509 version {0}, and only version 3 is taken")]
struct OldForm(u32);

/// What the library only calls another error, by its cause.
fn old_form<'a>(error: Error, shown: impl IntoIterator<Item = &'a CertificateDer<'a>>) -> Error {
    if !matches!(error, Error::InvalidCertificate(CertificateError::Other(_) | CertificateError::BadEncoding))
    {
        return error;
    }
    let old = shown.into_iter().find_map(|der| identity::version(der).filter(|version| *version < 3));
    let named = |version| CertificateError::Other(OtherError(Arc::new(OldForm(version)))).into();
    old.map_or(error, named)
}

/// The CAs, and what is worth mending of their file.
fn roots(config: &Config, vhost: usize, terms: &Terms) -> Result<(RootCertStore, Option<String>), Unusable> {
    let mut roots = RootCertStore::empty();
    let Some(object) = fluxheim_trust::client_ca_bundle(config, vhost) else { return Ok((roots, None)) };
    let pem = fluxheim_trust::read(&object, terms)?;
    let cas = fluxheim_trust::ca_certificates(pem.as_bytes())
        .map_err(|error| unusable(&object.path, &format!("no usable CAs ({error}): give them as PEM")))?;
    for (at, der) in cas.into_iter().enumerate() {
        roots.add(CertificateDer::from(der)).map_err(|error| {
            let reason = format!("certificate {} can't vouch for any other ({error}): take it out", at + 1);
            unusable(&object.path, &reason)
        })?;
    }
    let warning = fluxheim_trust::no_cas(&object.path, pem.as_bytes());
    Ok((roots, warning.map(|warning| warning.to_string())))
}

fn lists(
    config: &Config,
    vhost: usize,
    terms: &Terms,
) -> Result<Vec<CertificateRevocationListDer<'static>>, Vec<Unusable>> {
    let (mut lists, mut errors) = (Vec::new(), Vec::new());
    for object in fluxheim_trust::client_revocation_lists(config, vhost) {
        match of_file(&object, terms) {
            Ok(of_file) => lists.extend(of_file),
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() { Ok(lists) } else { Err(errors) }
}

/// Each is parsed here once more, so that the one at fault can be named.
fn of_file(object: &Object, terms: &Terms) -> Result<Vec<CertificateRevocationListDer<'static>>, Unusable> {
    let bytes = fluxheim_trust::read(object, terms)?;
    let lists = fluxheim_trust::revocation_lists(bytes.as_bytes()).map_err(|error| {
        unusable(&object.path, &format!("no usable revocation list ({error}): give it as PEM or DER"))
    })?;
    for (at, der) in lists.iter().enumerate() {
        if let Err(error) = webpki::BorrowedCertRevocationList::from_der(der) {
            let reason = format!(
                "revocation list {} can't be used ({error}): put a complete list of version 2 there, no delta",
                at + 1
            );
            return Err(unusable(&object.path, &reason));
        }
    }
    Ok(lists.into_iter().map(CertificateRevocationListDer::from).collect())
}

fn unusable(path: &Path, reason: &str) -> Unusable {
    Unusable::Pem { path: path.to_owned(), reason: reason.to_owned() }
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

const TOO_LONG: &str = "the client shows more certificates than verify_depth, or over 32 KiB of them";
/// A chain of four with the largest post-quantum signatures of FIPS 204; it is kept as long as the connection.
const MOST_BYTES: usize = 32 << 10;
/// The handshake message has 64 KiB for them; without any, a client shows what it has.
const MOST_HINTS: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_apart_what_is_wrong_with_a_certificate() {
        let of = |error: CertificateError| outcome(&Error::InvalidCertificate(error));
        assert_eq!(outcome(&Error::NoCertificatesPresented), Some("missing"));
        assert_eq!(of(CertificateError::Revoked), Some("revoked"));
        assert_eq!(of(CertificateError::UnknownIssuer), Some("unknown_ca"));
        assert_eq!(of(CertificateError::BadEncoding), Some("invalid"));
        assert_eq!(outcome(&Error::General(TOO_LONG.to_owned())), Some("too_long"));
        assert_eq!(outcome(&Error::General("other".to_owned())), None);
        assert_eq!(outcome(&Error::HandshakeNotComplete), None);
    }
}
