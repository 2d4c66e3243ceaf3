//! The proxy's side of the talk with PID 1.
//!
//! Owns when it happens. The messages are those of `fluxheim_posture::handoff`.

use std::sync::Arc;

use fluxheim_config::{Config, exit};
use fluxheim_posture::evidence::Evidence;
use fluxheim_posture::handoff::{HandoffError, Legacy, Posture, ProxyEnd, ProxyState, Verdict};
use fluxheim_posture::judge::{Asked, judge};
use fluxheim_posture::proxy::ProxyReport;
use nix::unistd::Pid;

use crate::telemetry::lifecycle::Lifecycle;

/// What the start rests on.
pub(super) struct Word {
    /// PID 1, where it supervises.
    pub(super) supervisor: Option<ProxyEnd>,
    /// What was found before we were let go on; `None` when nobody looked.
    pub(super) posture: Option<Posture>,
}

/// What PID 1 left open for us, if it started us.
///
/// # Errors
/// When the variable that tells its number is wrong.
pub(super) fn take() -> Result<Option<ProxyEnd>, HandoffError> {
    ProxyEnd::inherited()
}

/// Tells PID 1 what was hardened and waits for its word. Where it became us, we judge by its rules
/// ourselves; where there never was one, nobody does, and a line says so.
///
/// # Errors
/// The exit code to end with.
pub(super) fn agree(supervisor: Option<ProxyEnd>, report: ProxyReport, config: &Config) -> Result<Word, u8> {
    let lost = |error: HandoffError| {
        tracing::error!(%error, "cannot talk to fluxheim-init");
        exit::INTERNAL
    };
    let Some(end) = supervisor else {
        tracing::warn!(
            "not started by fluxheim-init: hardening was applied as far as it goes and not verified"
        );
        return Ok(Word { supervisor: None, posture: None });
    };
    if let Some(legacy) = end.legacy().map_err(lost)? {
        return judge_ourselves(*legacy, report, config);
    }
    match end.submit(&report) {
        Ok(Verdict::Go(posture)) => Ok(Word { supervisor: Some(end), posture: Some(posture) }),
        Ok(Verdict::Refused) => Err(exit::REFUSED),
        Err(error) => {
            tracing::error!(%error, "fluxheim-init gave no word");
            Err(exit::INTERNAL)
        }
    }
}

fn judge_ourselves(legacy: Legacy, report: ProxyReport, config: &Config) -> Result<Word, u8> {
    let has_secrets = report.secrets;
    let evidence = Evidence::read(Pid::this(), report, legacy.baseline, legacy.failures);
    let (hardening, storage, server) = (&config.hardening, &legacy.storage, &config.server);
    let report = judge(&evidence, Asked { hardening, has_secrets, storage, server });
    super::say(&report.to_string());
    if report.is_ok() {
        Ok(Word { supervisor: None, posture: Some(Posture::from(&report)) })
    } else {
        Err(exit::REFUSED)
    }
}

/// Says that the listeners are open, then answers questions from a thread of its own, so that a
/// busy runtime is told apart from a dead one.
pub(super) fn answer(end: ProxyEnd, lifecycle: Arc<Lifecycle>) -> std::io::Result<()> {
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
