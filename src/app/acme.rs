//! Certificates by ACME, as part of the process.
//!
//! Owns where the engine's parts come from, and that it runs.

use std::sync::Arc;

use fluxheim_config::{AcmeStorage, Config};
use fluxheim_trust::{Identity, Terms};
use hickory_resolver::TokioResolver;

use crate::acme::dns::Runners;
use crate::acme::store;
use crate::acme::{self, Challenges, Engine, Handle, Settings};
use crate::telemetry::Telemetry;
use crate::tls::Termination;
use crate::upstream::resolve::forgetful;

/// What a configuration with ACME needs.
pub(super) struct Acme {
    pub engine: Engine,
    pub handle: Handle,
    pub challenges: Challenges,
}

/// The engine for `config`, if it has any use for one. `runners` come to the socket that was made for them.
///
/// # Errors
/// Everything that is wrong with the files it names, one line each.
pub(super) fn open(
    config: &Config,
    resolver: &TokioResolver,
    termination: &Termination,
    telemetry: &Arc<Telemetry>,
    runners: Option<&Runners>,
) -> Result<Option<Acme>, String> {
    let Some(settings) = settings(config, runners)? else { return Ok(None) };
    let terms = Terms::of(config, Identity::current());
    let store = store::open(&settings.acme.storage, &terms, resolver)
        .map_err(|error| format!("acme.storage: {error}"))?;
    let shared = matches!(settings.acme.storage, AcmeStorage::Redis(_));
    let others = shared.then(|| Arc::clone(&store));
    let challenges = Challenges::new(Arc::clone(termination.answers()), others);
    let certificates = Arc::clone(termination.resolver());
    let (engine, handle) =
        acme::engine(settings, store, challenges.clone(), certificates, Arc::clone(telemetry));
    Ok(Some(Acme { engine, handle, challenges }))
}

/// What the engine works by under `config`.
///
/// # Errors
/// Everything that is wrong with the files it names, one line each.
pub(super) fn settings(config: &Config, runners: Option<&Runners>) -> Result<Option<Settings>, String> {
    let terms = Terms::of(config, Identity::current());
    if config.acme.is_none() {
        return Ok(None);
    }
    // Records are looked for until they are there.
    let resolver = forgetful().map_err(|error| error.to_string())?;
    Settings::load(config, &terms, &resolver, runners)
        .map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
}
