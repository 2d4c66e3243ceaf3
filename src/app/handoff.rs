//! The proxy's side of the talk with PID 1.
//!
//! Owns when it happens. The messages are those of `fluxheim_posture::handoff`.

use std::sync::Arc;

use fluxheim_config::exit;
use fluxheim_posture::handoff::{Posture, ProxyEnd, ProxyState, Verdict};
use fluxheim_posture::proxy::ProxyReport;

use crate::telemetry::lifecycle::Lifecycle;

/// A start by PID 1.
pub(super) struct Supervised {
    end: ProxyEnd,
    /// What it found before it let us go on.
    pub(super) posture: Posture,
}

/// Tells PID 1 what was hardened and waits for its word; `None` when we were started by hand.
///
/// # Errors
/// The exit code to end with.
pub(super) fn agree(report: &ProxyReport) -> Result<Option<Supervised>, u8> {
    let end = match ProxyEnd::inherited() {
        Ok(Some(end)) => end,
        Ok(None) => {
            tracing::warn!(
                "not started by fluxheim-init: hardening was applied as far as it goes and not verified"
            );
            return Ok(None);
        }
        Err(error) => {
            tracing::error!(%error, "cannot talk to fluxheim-init");
            return Err(exit::INTERNAL);
        }
    };
    match end.submit(report) {
        Ok(Verdict::Go(posture)) => Ok(Some(Supervised { end, posture })),
        Ok(Verdict::Refused) => Err(exit::REFUSED),
        Err(error) => {
            tracing::error!(%error, "fluxheim-init gave no word");
            Err(exit::INTERNAL)
        }
    }
}

/// Says that the listeners are open, then answers questions from a thread of its own, so that a
/// busy runtime is told apart from a dead one.
pub(super) fn answer(Supervised { end, .. }: Supervised, lifecycle: Arc<Lifecycle>) -> std::io::Result<()> {
    if let Err(error) = end.ready() {
        tracing::warn!(%error, "cannot tell fluxheim-init that we are ready");
    }
    std::thread::Builder::new().name("handoff".to_owned()).spawn(move || {
        let state = || ProxyState {
            ready: lifecycle.ready(),
            draining: lifecycle.draining(),
            connections: lifecycle.connections(),
            in_flight: lifecycle.in_flight(),
        };
        if let Err(error) = end.serve(state) {
            tracing::warn!(%error, "lost fluxheim-init");
        }
    })?;
    Ok(())
}
