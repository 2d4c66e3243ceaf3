//! What a reload can't change, key by key.
//!
//! Owns the list: whoever reads a setting once, at the start, enters it here.

use std::path::Path;

use fluxheim_config::{AcmeStorage, Config, Listener, ListenerLimits};

/// The keys that differ and stay as they were until a restart.
pub(super) fn changed(old: &Config, new: &Config) -> Vec<&'static str> {
    let (server, limits) = ((&old.server, &new.server), (&old.limits, &new.limits));
    [
        ("server.http", listening(&server.0.http) != listening(&server.1.http)),
        ("server.https", listening(&server.0.https) != listening(&server.1.https)),
        ("server.threads", server.0.threads != server.1.threads),
        ("metrics.listen", old.metrics.listen != new.metrics.listen),
        ("tls.offload_threads", old.tls.offload_threads != new.tls.offload_threads),
        ("admin.socket", old.admin.socket != new.admin.socket),
        ("acme (as a whole)", old.acme.is_some() != new.acme.is_some()),
        ("acme.storage", storage(old) != storage(new)),
        ("acme.dns.socket", hook(old) != hook(new)),
        ("hardening", old.hardening != new.hardening),
        ("limits.max_connections", limits.0.max_connections != limits.1.max_connections),
        ("limits.max_h2_streams", limits.0.max_h2_streams != limits.1.max_h2_streams),
        ("limits.keepalive_requests", limits.0.keepalive_requests != limits.1.keepalive_requests),
        ("limits.keepalive_timeout (of HTTP/2)", limits.0.keepalive_timeout != limits.1.keepalive_timeout),
        ("limits.max_header_size (of HTTP/2)", limits.0.max_header_size != limits.1.max_header_size),
    ]
    .into_iter()
    .filter_map(|(key, differs)| differs.then_some(key))
    .collect()
}

/// The listeners without what new connections follow at once.
fn listening(listeners: &[Listener]) -> Vec<Listener> {
    let limits = ListenerLimits::default();
    listeners.iter().map(|listener| Listener { limits, ..listener.clone() }).collect()
}

/// Of ACME, where both have it.
fn storage(config: &Config) -> Option<&AcmeStorage> {
    config.acme.as_ref().map(|acme| &acme.storage)
}

/// Where programs that make records are waited for.
fn hook(config: &Config) -> Option<&Path> {
    config.acme.as_ref()?.hook().map(|hook| hook.socket.as_path())
}

#[cfg(test)]
mod tests {
    use fluxheim_config::{Source, parse};

    use super::*;

    fn config(rest: &str) -> Config {
        let text = format!("[server]\nhttp = [\"127.0.0.1:80\"]\n{rest}");
        parse(&[Source { path: "f".into(), text }]).unwrap()
    }

    #[test]
    fn names_each_key_that_has_to_wait_and_no_other() {
        let old = config("");
        assert!(
            changed(&old, &config("[limits]\nmax_body_size = \"2MiB\"\n[logging]\nformat = \"text\"\n"))
                .is_empty()
        );
        let new = config(
            "threads = 3\n[limits]\nmax_connections = 9\n[logging]\nlevel = \"warn\"\naccess = false\nquery = \"off\"\n",
        );
        assert_eq!(changed(&old, &new), ["server.threads", "limits.max_connections"]);
    }
}
