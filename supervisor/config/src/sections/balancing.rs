//! The keys of `[[upstreams]]` that are about choosing a server.
//!
//! Owns their defaults and ranges, and how they bear on each other.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::tls::resolved;
use crate::flaw::Flaw;
use crate::schema;
use crate::section::{At, Read, Section};
use crate::value::{self, balancing, duration, path};
use crate::{
    Balance, Hash, HashBy, HashKind, Health, HealthCheck, Outlier, Queue, Retry, RetryOn, SameSite,
    StatusRange, Sticky, Upstream,
};

/// Percent of a level's servers below which their health is not believed; Envoy's.
const PANIC_THRESHOLD: u32 = 50;
/// More requests in flight than sockets of a big machine.
pub(crate) const IN_FLIGHT: RangeInclusive<u32> = 1..=1_000_000;
const QUEUED: RangeInclusive<u32> = 1..=1_000_000;
/// Longer rows are no longer a sign of anything.
const ROW: RangeInclusive<u32> = 1..=1000;
/// The first one included.
const ATTEMPTS: RangeInclusive<u32> = 1..=10;
const QUEUE_TIMEOUT: Duration = Duration::from_secs(5);
const INTERVAL: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_secs(2);

/// The attribute's values by name.
pub(crate) const SAME_SITE: [(&str, SameSite); 3] =
    [("strict", SameSite::Strict), ("lax", SameSite::Lax), ("none", SameSite::None)];

/// Reads into `upstream` all that is about choosing; its servers stand already, if they could be read.
pub(crate) fn read(section: &Section<'_>, upstream: &mut Upstream, servers_known: bool) {
    if let Some(balance) = balance(section) {
        upstream.balance = balance;
    }
    upstream.sticky = section.optional("sticky", &schema::STICKY).and_then(|it| sticky(&it));
    upstream.health = section.optional("health", &schema::HEALTH).and_then(|it| health(&it));
    upstream.outlier = section.optional("outlier", &schema::OUTLIER).map(|it| outlier(&it));
    upstream.slow_start =
        section.read("slow_start", duration::EXPECTED, duration::positive).good().map(|at| at.value);
    upstream.panic_threshold = percent(section, "panic_threshold", 0, PANIC_THRESHOLD);
    upstream.max_in_flight = section.number("max_in_flight", IN_FLIGHT).good().map(|at| at.value);
    upstream.queue = section.optional("queue", &schema::QUEUE).and_then(|it| queue(&it));
    if let Some(it) = section.optional("retry", &schema::RETRY) {
        upstream.retry = retry(&it);
    }
    if servers_known {
        check_queue(section, upstream);
    }
}

fn check_queue(section: &Section<'_>, upstream: &Upstream) {
    let bounded = upstream.max_in_flight.is_some()
        || section.may_hide("max_in_flight")
        || upstream.servers.iter().any(|server| server.max_in_flight.is_some());
    if upstream.queue.is_some() && !bounded {
        let flaw = Flaw::new("nothing would ever wait: neither the upstream nor a server has max_in_flight");
        section.here("queue", section.place("queue"), flaw.help("set max_in_flight, or remove queue"));
    }
}

fn balance(section: &Section<'_>) -> Option<Balance> {
    let word = section.read("balance", "a word", balancing::balance);
    let Some(hash) = section.optional("hash", &schema::HASH) else { return word.certain(Balance::default()) };
    if let Read::Good(At { at, value }) = &word
        && !matches!(value, Balance::Hash(_))
    {
        let flaw = Flaw::new("hash is set, which goes with balance = \"hash\" alone");
        section.here("balance", *at, flaw.help("leave balance out, or remove hash"));
    }
    let by =
        hash.require("by", "\"client_ip\", \"uri\", \"header:NAME\" or \"cookie:NAME\"", balancing::hash_by);
    let kinds = [("ketama", HashKind::Ketama), ("maglev", HashKind::Maglev)];
    let kind = hash.read("kind", "a word", |text| value::word(text, &kinds)).or(HashKind::default());
    Some(Balance::Hash(Hash { by: by.map_or_else(HashBy::default, |at| at.value), kind }))
}

fn sticky(section: &Section<'_>) -> Option<Sticky> {
    let cookie = section.require("cookie", "the name of a cookie", balancing::cookie_name);
    let secret = section.require("secret_file", "the path of a file with at least 32 bytes", path::file);
    let ttl = section.read("ttl", duration::EXPECTED, balancing::whole_seconds).good().map(|at| at.value);
    let secure = section.boolean("secure").or(true);
    let same_site = section.read("same_site", "a word", |text| value::word(text, &SAME_SITE));
    if let Read::Good(At { at, value: SameSite::None }) = &same_site
        && !secure
    {
        let flaw = Flaw::new("browsers drop a cookie with SameSite=None that is not Secure");
        section.here("same_site", *at, flaw.help("remove secure = false, or use \"lax\""));
    }
    let secret_file = resolved(section, secret?);
    Some(Sticky { cookie: cookie?.value, secret_file, ttl, secure, same_site: same_site.or(SameSite::Lax) })
}

fn health(section: &Section<'_>) -> Option<Health> {
    let check = health_check(section);
    let interval = section.read("interval", duration::EXPECTED, balancing::at_least_100ms);
    let timeout = section.read("timeout", duration::EXPECTED, duration::positive);
    let place = section.place("timeout");
    // A default gives way to the other key; two that are set must fit together.
    let given = matches!(timeout, Read::Good(_));
    let interval = interval.certain(INTERVAL);
    let timeout = timeout.certain(TIMEOUT.min(interval.unwrap_or(TIMEOUT)));
    if let (Some(interval), Some(timeout), true) = (interval, timeout, given)
        && timeout > interval
    {
        let flaw = Flaw::new("a check may take longer than the interval to the next one");
        section.here("timeout", place, flaw.help("make interval as long as timeout, or longer"));
    }
    let port = section.number("port", 1..=65_535).good().and_then(|at| u16::try_from(at.value).ok());
    let row = |key, default| section.number(key, ROW).or(default);
    let (healthy_after, unhealthy_after) = (row("healthy_after", 2), row("unhealthy_after", 3));
    Some(Health {
        check: check?,
        interval: interval?,
        timeout: timeout?,
        healthy_after,
        unhealthy_after,
        port,
    })
}

fn health_check(section: &Section<'_>) -> Option<HealthCheck> {
    let path = section.read("path", "a path such as \"/healthz\"", balancing::check_path);
    let tcp = section.boolean("tcp");
    let grpc = section.read("grpc", "the name of a service; \"\" is the whole server", balancing::service);
    let host = section.read("host", "a host name", balancing::check_host);
    let statuses = section.list("expect_status", "a list such as [\"200-299\"]", balancing::statuses);
    let kinds = [
        ("path", matches!(path, Read::Absent)),
        ("tcp", matches!(tcp, Read::Absent)),
        ("grpc", matches!(grpc, Read::Absent)),
    ];
    let set: Vec<_> = kinds.iter().filter(|(_, absent)| !absent).map(|(key, _)| *key).collect();
    let [kind] = set[..] else {
        match set.last() {
            None if kinds.iter().all(|(key, _)| !section.may_hide(key)) => {
                section.missing("path", "such as \"/healthz\"; or tcp = true, or grpc = \"\"");
            }
            None => {}
            Some(last) => {
                let flaw = Flaw::new(format!(
                    "a check is one of path, tcp and grpc, this one is {}",
                    set.join(" and ")
                ));
                section.here(last, section.place(last), flaw.help("keep one of them"));
            }
        }
        return None;
    };
    let refuse = |key: &'static str, set: bool| {
        if set {
            let flaw = Flaw::new(format!("means nothing beside {kind}"));
            section.here(key, section.place(key), flaw.help("remove it"));
        }
    };
    refuse("expect_status", kind != "path" && !matches!(statuses, Read::Absent));
    refuse("host", kind == "tcp" && !matches!(host, Read::Absent));
    if let Read::Good(At { at, value }) = &statuses
        && value.is_empty()
    {
        section.here("expect_status", *at, Flaw::new("the list is empty").help("name at least one status"));
    }
    let statuses = statuses.good().map_or_else(
        || vec![StatusRange::GOOD],
        |list| list.value.into_iter().map(|range| range.value).collect(),
    );
    let host = host.good().map(|at| at.value);
    match kind {
        "path" => path.good().map(|at| HealthCheck::Http { path: at.value, host, expect_status: statuses }),
        "grpc" => grpc.good().map(|at| HealthCheck::Grpc { service: at.value, host }),
        _ => match tcp {
            Read::Good(At { value: true, .. }) => Some(HealthCheck::Tcp),
            Read::Good(At { at, value: false }) => {
                let flaw = Flaw::new("false leaves no check at all");
                section.here("tcp", at, flaw.help("write tcp = true, or remove health"));
                None
            }
            Read::Absent | Read::Flawed => None,
        },
    }
}

fn outlier(section: &Section<'_>) -> Outlier {
    let default = Outlier::default();
    let row = |key, default| section.number(key, 0..=1000).or(default);
    let time = |key, default| section.read(key, duration::EXPECTED, duration::positive).certain(default);
    let base = time("base_ejection", default.base_ejection);
    let most = time("max_ejection", default.max_ejection.max(base.unwrap_or_default()));
    if let (Some(base), Some(most)) = (base, most)
        && base > most
    {
        let flaw = Flaw::new("the longest ejection is shorter than the first one, base_ejection");
        section.here("max_ejection", section.place("max_ejection"), flaw.help("make it as long, or longer"));
    }
    let outlier = Outlier {
        consecutive_failures: row("consecutive_failures", default.consecutive_failures),
        consecutive_5xx: row("consecutive_5xx", default.consecutive_5xx),
        base_ejection: base.unwrap_or(default.base_ejection),
        max_ejection: most.unwrap_or(default.max_ejection),
        max_ejected: percent(section, "max_ejected", 1, 50),
    };
    if outlier.consecutive_failures == 0 && outlier.consecutive_5xx == 0 {
        let flaw = Flaw::new("neither failures nor 5xx are counted, so nothing is ever ejected");
        let flaw = flaw.help("set one of them above 0, or remove outlier");
        section.here("consecutive_failures", section.place("consecutive_failures"), flaw);
    }
    outlier
}

fn queue(section: &Section<'_>) -> Option<Queue> {
    let size = section.number("size", QUEUED);
    if matches!(size, Read::Absent) {
        section.missing("size", "how many requests may wait at once");
    }
    let timeout = section.read("timeout", duration::EXPECTED, duration::positive).or(QUEUE_TIMEOUT);
    Some(Queue { size: size.good()?.value, timeout })
}

fn retry(section: &Section<'_>) -> Retry {
    let default = Retry::default();
    let on =
        section.list("on", "a list such as [\"connect\", \"503\"]", |text| value::word(text, &RetryOn::ALL));
    Retry {
        attempts: u8::try_from(section.number("attempts", ATTEMPTS).or(u32::from(default.attempts)))
            .unwrap_or(1),
        budget_percent: percent(section, "budget_percent", 0, u32::from(default.budget_percent)),
        on: on.good().map_or(default.on, |list| list.value.into_iter().map(|at| at.value).collect()),
    }
}

fn percent(section: &Section<'_>, key: &'static str, least: u32, default: u32) -> u8 {
    u8::try_from(section.number(key, least..=100).or(default)).unwrap_or(100)
}

/// Whether a name may stand as a zone.
pub(crate) fn zone(section: &Section<'_>) -> Option<String> {
    section.read("zone", "the name of a zone", value::name).good().map(|at| at.value)
}
