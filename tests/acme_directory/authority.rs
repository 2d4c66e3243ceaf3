//! A CA: root, intermediate, leaves of any age.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData as _, SanType,
    SerialNumber, SubjectPublicKeyInfo,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use x509_parser::extensions::ParsedExtension;

use super::jws::encode;
use super::problem::Problem;

pub(super) struct Authority {
    root: Vec<u8>,
    intermediate: Vec<u8>,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(super) fn new(name: &str) -> Self {
        let (root_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let (root, intermediate) = (ca(&format!("{name} Root")), ca(&format!("{name} Intermediate")));
        let root_der = root.self_signed(&root_key).unwrap().der().to_vec();
        let root_issuer = Issuer::new(root, root_key);
        let intermediate_der = intermediate.signed_by(&key, &root_issuer).unwrap().der().to_vec();
        Self { root: root_der, intermediate: intermediate_der, issuer: Issuer::new(intermediate, key) }
    }

    pub(super) fn root_pem(&self) -> String {
        pem("CERTIFICATE", &self.root)
    }

    /// A leaf and the intermediate, whoever signed the leaf.
    pub(super) fn chain(&self, leaf: &[u8]) -> String {
        pem("CERTIFICATE", leaf) + &pem("CERTIFICATE", &self.intermediate)
    }

    /// A certificate for what a request asks for, between those times.
    pub(super) fn sign(&self, csr: &Csr, from: SystemTime, to: SystemTime) -> Vec<u8> {
        let mut serial = [0; 16];
        aws_lc_rs::rand::fill(&mut serial).unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.subject_alt_names = csr.names.iter().map(|name| san(name)).collect();
        params.not_before = from.into();
        params.not_after = to.into();
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let key = SubjectPublicKeyInfo::from_der(&csr.public_key).unwrap();
        params.signed_by(&key, &self.issuer).unwrap().der().to_vec()
    }

    /// A server certificate for this machine, with its key.
    pub(super) fn server(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let key = KeyPair::generate().unwrap();
        let names = ["localhost", "127.0.0.1"].map(str::to_owned).into();
        let (now, day) = (SystemTime::now(), Duration::from_secs(24 * 3600));
        let csr = Csr { names, public_key: key.subject_public_key_info() };
        let chain = vec![self.sign(&csr, now - day, now + day).into(), self.intermediate.clone().into()];
        (chain, PrivatePkcs8KeyDer::from(key.serialize_der()).into())
    }
}

/// What is asked for.
pub(super) struct Csr {
    /// Names and addresses.
    pub(super) names: BTreeSet<String>,
    /// SubjectPublicKeyInfo.
    pub(super) public_key: Vec<u8>,
}

impl Csr {
    /// Reads a request and checks its signature.
    pub(super) fn parse(der: &[u8]) -> Result<Self, Problem> {
        let bad = |detail: String| Problem::new(400, "badCSR", detail);
        let csr = CertificateSigningRequestParams::from_der(&der.to_vec().into())
            .map_err(|error| bad(error.to_string()))?;
        let mut names = BTreeSet::new();
        for name in &csr.params.subject_alt_names {
            let new = match name {
                SanType::DnsName(name) => names.insert(name.as_str().to_owned()),
                SanType::IpAddress(address) => names.insert(address.to_string()),
                other => return Err(bad(format!("{other:?} can't be in a certificate"))),
            };
            if !new {
                return Err(bad(format!("{name:?} stands twice")));
            }
        }
        let common = csr.params.distinguished_name.get(&DnType::CommonName);
        if common.is_some_and(|common| !names.iter().any(|name| format!("{common:?}").contains(name))) {
            return Err(bad(format!("the common name {common:?} is none of the names")));
        }
        Ok(Self { names, public_key: csr.public_key.subject_public_key_info() })
    }

    /// As if it had been asked for with that key.
    pub(super) fn parse_key(public_key: &[u8], names: &[String]) -> Self {
        Self { names: names.iter().cloned().collect(), public_key: public_key.to_vec() }
    }

    /// As if it had been asked for with a key that nobody has.
    pub(super) fn of_other_key(names: &[String]) -> Self {
        Self::parse_key(&KeyPair::generate().unwrap().subject_public_key_info(), names)
    }
}

/// The identifier that a certificate is renewed by (RFC 9773, section 4.1).
pub(super) fn renewal_id(der: &[u8]) -> String {
    let (_, certificate) = x509_parser::parse_x509_certificate(der).unwrap();
    let key = certificate.extensions().iter().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::AuthorityKeyIdentifier(id) => id.key_identifier.as_ref(),
        _ => None,
    });
    format!("{}.{}", encode(key.unwrap().0), encode(certificate.raw_serial()))
}

pub(super) fn pem(label: &str, der: &[u8]) -> String {
    let text = base64::prelude::BASE64_STANDARD.encode(der);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

fn ca(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.use_authority_key_identifier_extension = true;
    params
}

fn san(name: &str) -> SanType {
    match name.parse::<IpAddr>() {
        Ok(address) => SanType::IpAddress(address),
        Err(_) => SanType::DnsName(name.try_into().unwrap()),
    }
}
