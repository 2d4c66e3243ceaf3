//! Certificates by ACME, as part of the process.
//!
//! Owns where the engine's parts come from, and that it runs.

use std::sync::Arc;

use fluxheim_config::{AcmeRedis, AcmeStorage, Config, UpstreamHost};
use fluxheim_trust::{Identity, Terms};
use hickory_resolver::TokioResolver;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;

use crate::acme::store::{Folder, Redis, RedisSettings, Store};
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

/// The engine for `config`, if it has any use for one.
///
/// # Errors
/// Everything that is wrong with the files it names, one line each.
pub(super) fn open(
    config: &Config,
    resolver: &TokioResolver,
    termination: &Termination,
    telemetry: &Arc<Telemetry>,
) -> Result<Option<Acme>, String> {
    let Some(settings) = settings(config)? else { return Ok(None) };
    let terms = Terms::of(config, Identity::current());
    let (store, shared): (Arc<dyn Store>, bool) = match &settings.acme.storage {
        AcmeStorage::Folder(folder) => {
            let folder = Folder::open(folder, &terms).map_err(|error| format!("acme.storage: {error}"))?;
            (Arc::new(folder), false)
        }
        AcmeStorage::Redis(redis) => (Arc::new(server(redis, &terms, resolver)?), true),
    };
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
pub(super) fn settings(config: &Config) -> Result<Option<Settings>, String> {
    let terms = Terms::of(config, Identity::current());
    if config.acme.is_none() {
        return Ok(None);
    }
    // Records are looked for until they are there.
    let resolver = forgetful().map_err(|error| error.to_string())?;
    Settings::load(config, &terms, &resolver)
        .map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
}

fn server(redis: &AcmeRedis, terms: &Terms, resolver: &TokioResolver) -> Result<Redis, String> {
    let read = |object| fluxheim_trust::read(&object, terms).map_err(|error| error.to_string());
    let password = fluxheim_trust::acme_redis_password(redis).map(read).transpose()?;
    let seal_keys = fluxheim_trust::acme_seal_keys(redis).map(read).collect::<Result<_, _>>()?;
    let settings = RedisSettings {
        host: match &redis.host {
            UpstreamHost::Ip(ip) => ip.to_string(),
            UpstreamHost::Name(name) | UpstreamHost::Service(name) => name.clone(),
        },
        port: redis.port,
        tls: if redis.tls { Some(Arc::new(client(redis, terms)?)) } else { None },
        username: redis.username.clone(),
        password,
        database: redis.database,
        prefix: redis.prefix.clone(),
        seal_keys,
        timeout: redis.timeout,
        resolver: resolver.clone(),
    };
    Redis::new(settings).map_err(|error| format!("acme.storage.redis: {error}"))
}

fn client(redis: &AcmeRedis, terms: &Terms) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    match fluxheim_trust::acme_redis_ca(redis) {
        None => {
            roots.add_parsable_certificates(webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().cloned());
        }
        Some(object) => {
            let wrong = |error: String| format!("{}: {error}", object.path.display());
            let pem = fluxheim_trust::read(&object, terms).map_err(|error| error.to_string())?;
            let cas = fluxheim_trust::ca_certificates(pem.as_bytes());
            for ca in cas.map_err(|error| wrong(format!("no usable CAs ({error}): give them as PEM")))? {
                let added = roots.add(CertificateDer::from(ca));
                added.map_err(|error| wrong(format!("a certificate can't vouch for any other ({error})")))?;
            }
        }
    }
    Ok(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth())
}
