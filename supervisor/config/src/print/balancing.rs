//! The tables within `[[upstreams]]` that are about choosing a server, as inline tables.

use std::net::SocketAddr;

use super::{Out, list, path, quoted};
use crate::sections::balancing::SAME_SITE;
use crate::value::duration;
use crate::*;

/// `balance` to `retry` of one upstream.
pub(super) fn balancing(out: &mut Out, upstream: &Upstream) {
    balance(out, &upstream.balance);
    match &upstream.sticky {
        Some(it) => out.key("sticky", sticky(it)),
        None => out.comment("sticky", "(none)", "no client is kept with its server"),
    }
    out.key("servers", list(upstream.servers.iter().map(server)));
    match &upstream.health {
        Some(it) => out.key("health", health(it)),
        None => out.comment("health", "(none)", "no active checks"),
    }
    match &upstream.outlier {
        Some(it) => out.key("outlier", outlier(it)),
        None => out.comment("outlier", "(none)", "no server is ejected"),
    }
    match upstream.slow_start {
        Some(time) => out.time("slow_start", time),
        None => out.comment("slow_start", "(none)", "the full share at once"),
    }
    out.key("panic_threshold", upstream.panic_threshold);
    match upstream.max_in_flight {
        Some(most) => out.key("max_in_flight", most),
        None => out.comment("max_in_flight", "(none)", "no limit"),
    }
    match &upstream.queue {
        Some(Queue { size, timeout }) => {
            out.key("queue", format!("{{ size = {size}, timeout = {} }}", time(*timeout)));
        }
        None => out.comment("queue", "(none)", "nothing waits"),
    }
    let Retry { attempts, budget_percent, on } = &upstream.retry;
    let on = list(RetryOn::ALL.iter().filter(|(_, it)| on.contains(it)).map(|(name, _)| quoted(name)));
    let retry = format!("{{ attempts = {attempts}, budget_percent = {budget_percent}, on = {on} }}");
    out.key("retry", retry);
}

fn balance(out: &mut Out, balance: &Balance) {
    let word = match balance {
        Balance::RoundRobin => "round_robin",
        Balance::Random => "random",
        Balance::LeastConn => "least_conn",
        Balance::P2c => "p2c",
        Balance::Hash(_) => "hash",
    };
    out.key("balance", quoted(word));
    match balance {
        Balance::Hash(Hash { by, kind }) => {
            let by = match by {
                HashBy::ClientIp => "client_ip".to_owned(),
                HashBy::Header(name) => format!("header:{name}"),
                HashBy::Cookie(name) => format!("cookie:{name}"),
                HashBy::Uri => "uri".to_owned(),
            };
            let kind = match kind {
                HashKind::Ketama => "ketama",
                HashKind::Maglev => "maglev",
            };
            out.key("hash", format!("{{ by = {}, kind = {} }}", quoted(&by), quoted(kind)));
        }
        Balance::RoundRobin | Balance::Random | Balance::LeastConn | Balance::P2c => {
            out.comment("hash", "(none)", "balance is not hash");
        }
    }
}

fn server(server: &UpstreamServer) -> String {
    let address = match &server.host {
        UpstreamHost::Ip(ip) => SocketAddr::new(*ip, server.port).to_string(),
        UpstreamHost::Name(name) => format!("{name}:{}", server.port),
        UpstreamHost::Service(name) => format!("srv:{name}"),
    };
    let UpstreamServer { weight, backup, priority, drain, .. } = server;
    let mut fields =
        format!("address = {}, backup = {backup}, priority = {priority}, drain = {drain}", quoted(&address));
    // The records of a service have their own.
    if !matches!(server.host, UpstreamHost::Service(_)) {
        fields.push_str(&format!(", weight = {weight}"));
    }
    if let Some(zone) = &server.zone {
        fields.push_str(&format!(", zone = {}", quoted(zone)));
    }
    if let Some(most) = server.max_in_flight {
        fields.push_str(&format!(", max_in_flight = {most}"));
    }
    format!("{{ {fields} }}")
}

fn sticky(sticky: &Sticky) -> String {
    let same_site = SAME_SITE.iter().find(|(_, it)| *it == sticky.same_site).map_or("lax", |(name, _)| name);
    let ttl = sticky.ttl.map_or_else(String::new, |ttl| format!(", ttl = {}", time(ttl)));
    format!(
        "{{ cookie = {}, secret_file = {}{ttl}, secure = {}, same_site = {} }}",
        quoted(&sticky.cookie),
        path(&sticky.secret_file),
        sticky.secure,
        quoted(same_site)
    )
}

fn health(health: &Health) -> String {
    let host = |host: &Option<String>| {
        host.as_ref().map_or_else(String::new, |host| format!(", host = {}", quoted(host)))
    };
    let check = match &health.check {
        HealthCheck::Http { path, host: name, expect_status } => {
            let statuses = list(expect_status.iter().map(|range| quoted(&range.to_string())));
            format!("path = {}, expect_status = {statuses}{}", quoted(path), host(name))
        }
        HealthCheck::Tcp => "tcp = true".to_owned(),
        HealthCheck::Grpc { service, host: name } => format!("grpc = {}{}", quoted(service), host(name)),
    };
    let port = health.port.map_or_else(String::new, |port| format!(", port = {port}"));
    format!(
        "{{ {check}{port}, interval = {}, timeout = {}, healthy_after = {}, unhealthy_after = {} }}",
        time(health.interval),
        time(health.timeout),
        health.healthy_after,
        health.unhealthy_after
    )
}

fn outlier(outlier: &Outlier) -> String {
    format!(
        "{{ consecutive_failures = {}, consecutive_5xx = {}, base_ejection = {}, max_ejection = {}, \
         max_ejected = {} }}",
        outlier.consecutive_failures,
        outlier.consecutive_5xx,
        time(outlier.base_ejection),
        time(outlier.max_ejection),
        outlier.max_ejected
    )
}

fn time(time: std::time::Duration) -> String {
    quoted(&duration::print(time))
}
