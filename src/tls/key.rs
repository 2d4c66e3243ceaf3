//! A private key out of a PEM file, as the TLS library takes it.
//!
//! Owns the conversion alone. The bytes stay in the secret pages they were decoded into: the library
//! parses them there.

use fluxheim_trust::{KeyForm, PemKey};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer};

/// The same bytes, with what they are.
pub(super) fn der(key: &PemKey) -> PrivateKeyDer<'_> {
    match key.form() {
        KeyForm::Pkcs8 => PrivatePkcs8KeyDer::from(key.der()).into(),
        KeyForm::Pkcs1 => PrivatePkcs1KeyDer::from(key.der()).into(),
        KeyForm::Sec1 => PrivateSec1KeyDer::from(key.der()).into(),
    }
}

#[cfg(test)]
mod tests;
