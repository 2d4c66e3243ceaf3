//! A certificate as clients are shown it: with its OCSP response for as long as that is good.
//!
//! Owns the change from one to the other, which needs nobody to look at a clock but who shows it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use rustls::sign::CertifiedKey;

use super::about::About;
use super::staple::Staple;

/// One certificate in use.
#[derive(Debug)]
pub struct Shown {
    pub about: About,
    bare: Arc<CertifiedKey>,
    stapled: Option<Stapled>,
}

#[derive(Debug)]
struct Stapled {
    pair: Arc<CertifiedKey>,
    until: Option<i64>,
    told: AtomicBool,
}

impl Shown {
    /// Without an OCSP response.
    #[must_use]
    pub fn bare(pair: CertifiedKey) -> Self {
        Self { about: About::of(&pair), bare: Arc::new(pair), stapled: None }
    }

    /// With the response that `file` holds, if it may be sent; else with a warning in its place.
    #[must_use]
    pub(super) fn with_response(pair: CertifiedKey, file: &Path, response: &[u8]) -> (Self, Option<String>) {
        let mut shown = Self::bare(pair);
        match Staple::read(response, &shown.bare.cert, now()) {
            Ok(Staple { response, until }) => {
                let pair = CertifiedKey { ocsp: Some(response), ..CertifiedKey::clone(&shown.bare) };
                shown.stapled = Some(Stapled { pair: Arc::new(pair), until, told: AtomicBool::new(false) });
                (shown, None)
            }
            Err(unfit) => {
                let file = file.display();
                (shown, Some(format!("{file}: this OCSP response is not sent: {unfit}; fetch it anew")))
            }
        }
    }

    /// The certificate and its key.
    #[must_use]
    pub const fn pair(&self) -> &Arc<CertifiedKey> {
        &self.bare
    }

    /// Whether there is an OCSP response to send along.
    #[must_use]
    pub const fn is_stapled(&self) -> bool {
        self.stapled.is_some()
    }

    /// Whether clients see no difference.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        let response = |shown: &Self| shown.stapled.as_ref().and_then(|stapled| stapled.pair.ocsp.clone());
        self.bare.cert == other.bare.cert && response(self) == response(other)
    }

    /// What a client is shown now.
    #[must_use]
    pub(super) fn now(&self) -> Arc<CertifiedKey> {
        let Some(stapled) = &self.stapled else { return Arc::clone(&self.bare) };
        if stapled.until.is_none_or(|until| now() < until) {
            return Arc::clone(&stapled.pair);
        }
        if !stapled.told.swap(true, Ordering::Relaxed) {
            let names = self.about.names.join(", ");
            tracing::warn!(
                names,
                "the time of an OCSP response is over, and it is no longer sent: write a newer one to its file"
            );
        }
        Arc::clone(&self.bare)
    }
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
