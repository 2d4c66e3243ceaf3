//! What is known of the certificates in use, and of the files that are watched for a rotation.
//!
//! Owns the names and labels of both. Labels come from the configuration, and with ACME from the hosts in it;
//! what a reload takes out is gone from the next scrape.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::{MetricType, TypedMetric};
use prometheus_client::registry::{Registry, Unit};

/// One certificate that new handshakes may be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateSample {
    /// As the configuration calls it.
    pub name: String,
    /// Where it is from: `file`, `acme`.
    pub source: &'static str,
    /// Seconds since the Unix epoch.
    pub not_before: i64,
    pub not_after: i64,
}

type Source = Box<dyn Fn() -> Vec<CertificateSample> + Send + Sync>;

/// Where the certificates are to be had from.
#[derive(Clone, Default)]
pub(super) struct Certificates(Arc<Mutex<Option<Source>>>);

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Certificates")
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CertificateLabels {
    certificate: String,
    source: &'static str,
}

impl Certificates {
    /// From now on, values come from `source`.
    pub(super) fn watch(&self, source: Source) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(source);
    }

    fn all(&self) -> Vec<CertificateSample> {
        let source = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        source.as_ref().map(|source| source()).unwrap_or_default()
    }
}

impl Collector for Certificates {
    fn encode(&self, mut out: DescriptorEncoder<'_>) -> fmt::Result {
        let all = self.all();
        let after = "When the certificate ends, since the Unix epoch";
        let before = "When the certificate begins to be valid, since the Unix epoch";
        gauges(&mut out, "fluxheim_certificate_not_after", after, &all, |one| one.not_after)?;
        gauges(&mut out, "fluxheim_certificate_not_before", before, &all, |one| one.not_before)
    }
}

fn gauges(
    out: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    all: &[CertificateSample],
    value: impl Fn(&CertificateSample) -> i64,
) -> fmt::Result {
    if all.is_empty() {
        return Ok(());
    }
    let kind: MetricType = <ConstGauge<i64> as TypedMetric>::TYPE;
    let mut family = out.encode_descriptor(name, help, Some(&Unit::Seconds), kind)?;
    for one in all {
        let labels = CertificateLabels { certificate: one.name.clone(), source: one.source };
        ConstGauge::new(value(one)).encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}

/// One watched file or pair, as metrics call it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, EncodeLabelSet)]
pub struct FileLabels {
    /// What it is for.
    pub role: &'static str,
    /// Who names it.
    pub name: String,
    /// Of a pair, that of the certificate.
    pub path: String,
}

/// What became of rotations.
#[derive(Debug, Default)]
pub struct Files {
    followed: Mutex<BTreeSet<FileLabels>>,
    failed: Family<FileLabels, Gauge>,
    taken: Family<FileLabels, Counter>,
    refused: Family<FileLabels, Counter>,
    loaded: Family<FileLabels, Gauge<f64, AtomicU64>>,
}

impl Files {
    pub(super) fn register(&self, registry: &mut Registry) {
        let r = registry;
        r.register(
            "file_reload_failed",
            "1 while what is there of a file or pair can't be used, and what was read before still is",
            self.failed.clone(),
        );
        r.register("file_reloads", "Files and pairs that were replaced and taken", self.taken.clone());
        r.register(
            "file_reloads_refused",
            "Files and pairs that were replaced by what can't be used",
            self.refused.clone(),
        );
        r.register_with_unit(
            "file_loaded_timestamp",
            "When what is used of a file or pair was read, since the Unix epoch",
            Unit::Seconds,
            self.loaded.clone(),
        );
    }

    /// These were read just now, and no others are used.
    pub fn follow(&self, files: BTreeSet<FileLabels>) {
        let mut followed = self.followed.lock().unwrap_or_else(PoisonError::into_inner);
        for gone in followed.difference(&files) {
            self.failed.remove(gone);
            self.taken.remove(gone);
            self.refused.remove(gone);
            self.loaded.remove(gone);
        }
        for file in &files {
            self.failed.get_or_create(file).set(0);
            self.loaded.get_or_create(file).set(now());
        }
        *followed = files;
    }

    /// A new one was read and is used.
    pub fn taken(&self, file: &FileLabels) {
        self.taken.get_or_create(file).inc();
        self.good(file);
    }

    /// What is there is what is used, as far as can be told.
    pub fn good(&self, file: &FileLabels) {
        self.failed.get_or_create(file).set(0);
        self.loaded.get_or_create(file).set(now());
    }

    /// The alarm.
    pub fn failed(&self, file: &FileLabels) {
        self.refused.get_or_create(file).inc();
        self.failed.get_or_create(file).set(1);
    }
}

fn now() -> f64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
