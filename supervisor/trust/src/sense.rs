//! TEMPORARY until the real module is merged.
use crate::finding::Finding;
use crate::object::NamedHost;
use fluxheim_config::HostPattern;
use std::path::Path;
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFacts {
    pub names: Vec<String>,
    pub issuer: String,
    pub key: String,
    pub not_before: i64,
    pub not_after: i64,
}
impl CertificateFacts {
    pub(crate) fn covers(&self, _host: &HostPattern) -> bool {
        true
    }
}
pub(crate) struct Pems<'a> {
    pub cert_path: &'a Path,
    pub cert: Option<&'a [u8]>,
    pub key_path: &'a Path,
    pub key: Option<&'a [u8]>,
    pub hosts: &'a [HostPattern],
    pub now: i64,
}
#[derive(Default)]
pub(crate) struct Sense {
    pub certificate: Vec<Finding>,
    pub key: Vec<Finding>,
    pub facts: Option<CertificateFacts>,
}
pub(crate) fn judge(_pems: &Pems<'_>) -> Sense {
    Sense::default()
}
pub(crate) fn judge_ca_bundle(_path: &Path, _pem: &[u8], _now: i64) -> Vec<Finding> {
    Vec::new()
}
pub(crate) fn covered_by_none(path: &Path, _hosts: &[NamedHost]) -> Finding {
    crate::rules::no_file(path)
}
