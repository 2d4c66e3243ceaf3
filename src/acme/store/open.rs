//! The place that a configuration names.
//!
//! Owns reading what it takes to get there, through `fluxheim-trust`: the folder, or the CAs, the password
//! and the seal keys of a server.

use std::sync::Arc;

use fluxheim_config::{AcmeRedis, AcmeStorage, UpstreamHost};
use fluxheim_trust::{Object, Secret, Terms, ca_certificates};
use hickory_resolver::TokioResolver;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;

use super::{Folder, Redis, RedisSettings, Server, Store, StoreError};

/// Opens it. A server need not be there yet; a folder must.
///
/// Blocks, for at most half a minute.
///
/// # Errors
/// A file or the folder that can't be used: everything that is wrong with it.
pub fn open(
    storage: &AcmeStorage,
    terms: &Terms,
    resolver: &TokioResolver,
) -> Result<Arc<dyn Store>, StoreError> {
    match storage {
        AcmeStorage::Folder(path) => Ok(Arc::new(Folder::open(path, terms)?)),
        AcmeStorage::Redis(redis) => Ok(Arc::new(server(redis, terms, resolver.clone())?)),
    }
}

fn server(redis: &AcmeRedis, terms: &Terms, resolver: TokioResolver) -> Result<Redis, StoreError> {
    let password =
        fluxheim_trust::acme_redis_password(redis).map(|object| read(&object, terms)).transpose()?;
    let seal_keys = fluxheim_trust::acme_seal_keys(redis).map(|object| read(&object, terms));
    let server = Server {
        host: match &redis.host {
            UpstreamHost::Ip(address) => address.to_string(),
            // The configuration takes no service here.
            UpstreamHost::Name(name) | UpstreamHost::Service(name) => name.clone(),
        },
        port: redis.port,
        tls: redis.tls.then(|| believing(redis, terms)).transpose()?,
        username: redis.username.clone(),
        password,
        database: redis.database,
        timeout: redis.timeout,
        resolver,
    };
    let seal_keys = seal_keys.collect::<Result<_, _>>()?;
    let settings = RedisSettings { server, prefix: redis.prefix.clone(), seal_keys };
    let files =
        redis.seal_key_files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(", ");
    Redis::new(settings).map_err(|error| StoreError::Refused(format!("seal key {files}: {error}")))
}

fn read(object: &Object, terms: &Terms) -> Result<Secret, StoreError> {
    fluxheim_trust::read(object, terms).map_err(|refused| StoreError::Refused(refused.to_string()))
}

/// TLS with a server that the CAs of its own vouch for, or those that browsers believe.
fn believing(redis: &AcmeRedis, terms: &Terms) -> Result<Arc<ClientConfig>, StoreError> {
    let mut roots = RootCertStore::empty();
    match fluxheim_trust::acme_redis_ca(redis) {
        None => roots.add_parsable_certificates(webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().cloned()),
        Some(object) => {
            let unusable = |why: &dyn std::fmt::Display| {
                StoreError::Refused(format!("CA bundle of {}: {}: {why}", object.name, object.path.display()))
            };
            let pem = read(&object, terms)?;
            let cas = ca_certificates(pem.as_bytes()).map_err(|error| unusable(&error))?;
            for ca in cas {
                roots.add(CertificateDer::from(ca)).map_err(|error| unusable(&error))?;
            }
            (0, 0)
        }
    };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = versions.map_err(|error| StoreError::Refused(format!("TLS: {error}")))?;
    Ok(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
}
