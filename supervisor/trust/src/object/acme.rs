//! The files and the folder of `[acme]`.
//!
//! Owns who is said to name each; opens nothing.

use std::path::Path;

use fluxheim_config::{Acme, AcmeIssuer, AcmeRedis, AcmeStorage, DnsProvider};

use super::{Object, Role, folder_of};

/// Every one, in the order of the documentation.
pub(super) fn objects(acme: &Acme) -> impl Iterator<Item = Object> {
    let issuers = acme.issuers.iter().flat_map(of_issuer);
    issuers.chain(acme_dns(acme)).chain(hook_folder(acme)).chain(of_storage(&acme.storage))
}

/// The CAs that may vouch for an issuer's server, if it names any.
#[must_use]
pub fn acme_ca(issuer: &AcmeIssuer) -> Option<Object> {
    Some(object(Role::CaBundle, &issuer_name(issuer), issuer.ca_file.as_deref()?))
}

/// The key id and the HMAC key of an issuer's external account, if it has one.
#[must_use]
pub fn acme_external_account(issuer: &AcmeIssuer) -> Option<[Object; 2]> {
    let account = issuer.external_account.as_ref()?;
    let name = issuer_name(issuer);
    Some([
        object(Role::EabKeyId, &name, &account.key_id_file),
        object(Role::EabHmac, &name, &account.hmac_key_file),
    ])
}

/// The key that the records of DNS challenges are made with, if there is one.
#[must_use]
pub fn acme_dns(acme: &Acme) -> Option<Object> {
    match &acme.dns.as_ref()?.provider {
        DnsProvider::Rfc2136(update) => Some(object(Role::DnsKey, "acme.dns", &update.key_file)),
        DnsProvider::Hook(_) => None,
    }
}

/// Where programs that make records are waited for, if any are.
fn hook_folder(acme: &Acme) -> Option<Object> {
    Some(object(Role::SocketFolder, HOOK_SOCKET, &folder_of(&acme.hook()?.socket)))
}

/// The key that names the socket.
pub const HOOK_SOCKET: &str = "acme.dns.socket";

/// The CAs that may vouch for the server that instances share, if any are named.
#[must_use]
pub fn acme_redis_ca(redis: &AcmeRedis) -> Option<Object> {
    Some(object(Role::CaBundle, REDIS, redis.ca_file.as_deref()?))
}

/// The password for it, if there is one.
#[must_use]
pub fn acme_redis_password(redis: &AcmeRedis) -> Option<Object> {
    Some(object(Role::StoragePassword, REDIS, redis.password_file.as_deref()?))
}

/// The keys that seal what goes there, the first one first.
pub fn acme_seal_keys(redis: &AcmeRedis) -> impl Iterator<Item = Object> {
    redis.seal_key_files.iter().map(|file| object(Role::SealKey, REDIS, file))
}

/// The folder where an instance keeps what is its own.
#[must_use]
pub fn acme_folder(folder: &Path) -> Object {
    object(Role::StateFolder, "acme.storage", folder)
}

fn of_issuer(issuer: &AcmeIssuer) -> impl Iterator<Item = Object> {
    acme_ca(issuer).into_iter().chain(acme_external_account(issuer).into_iter().flatten())
}

fn of_storage(storage: &AcmeStorage) -> Vec<Object> {
    match storage {
        AcmeStorage::Folder(folder) => vec![acme_folder(folder)],
        AcmeStorage::Redis(redis) => {
            let optional = acme_redis_ca(redis).into_iter().chain(acme_redis_password(redis));
            optional.chain(acme_seal_keys(redis)).collect()
        }
    }
}

fn issuer_name(issuer: &AcmeIssuer) -> String {
    format!("acme.issuers {:?}", issuer.name)
}

fn object(role: Role, name: &str, path: &Path) -> Object {
    Object { role, name: name.to_owned(), path: path.to_owned() }
}

const REDIS: &str = "acme.storage.redis";

#[cfg(test)]
mod tests {
    use fluxheim_config::{Config, Source};

    use super::*;

    fn config(storage: &str) -> Config {
        with(storage, "provider = \"rfc2136\", server = \"ns\", key_file = \"tsig\"")
    }

    fn with(storage: &str, dns: &str) -> Config {
        let text = format!(
            r#"
            [server]
            http = ["127.0.0.1:8080"]
            [acme]
            directory = "https://ca.example/dir"
            terms_of_service_agreed = true
            challenge = "dns-01"
            ca_file = "ca.pem"
            external_account = {{ key_id_file = "kid", hmac_key_file = "hmac" }}
            dns = {{ {dns} }}
            storage = {{ {storage} }}
        "#
        );
        fluxheim_config::parse(&[Source { path: "/etc/f/f.toml".into(), text }]).unwrap()
    }

    fn seen(config: &Config) -> Vec<(Role, String, String)> {
        let objects = objects(config.acme.as_ref().unwrap());
        objects.map(|object| (object.role, object.name, object.path.display().to_string())).collect()
    }

    #[test]
    fn names_the_files_of_an_issuer_the_key_and_the_folder() {
        let row = |role, name: &str, path: &str| (role, name.to_owned(), path.to_owned());
        let issuer = "acme.issuers \"default\"";
        assert_eq!(
            seen(&config("path = \"state\"")),
            [
                row(Role::CaBundle, issuer, "/etc/f/ca.pem"),
                row(Role::EabKeyId, issuer, "/etc/f/kid"),
                row(Role::EabHmac, issuer, "/etc/f/hmac"),
                row(Role::DnsKey, "acme.dns", "/etc/f/tsig"),
                row(Role::StateFolder, "acme.storage", "/etc/f/state"),
            ]
        );
    }

    #[test]
    fn names_the_folder_where_a_hook_is_waited_for_and_no_key() {
        let config = with("path = \"state\"", "provider = \"hook\", socket = \"/run/f/hook.sock\"");
        let of_dns: Vec<_> = seen(&config).into_iter().filter(|(_, name, _)| name.contains("dns")).collect();
        assert_eq!(of_dns, [(Role::SocketFolder, HOOK_SOCKET.to_owned(), "/run/f".to_owned())]);
    }

    #[test]
    fn names_what_a_shared_server_needs() {
        let redis =
            "redis = { address = \"r:1\", seal_key_file = \"s\", username = \"u\", password_file = \"p\" }";
        let roles: Vec<_> = seen(&config(redis)).into_iter().map(|(role, ..)| role).collect();
        assert_eq!(roles[4..], [Role::StoragePassword, Role::SealKey]);
    }
}
