//! `[limits]`: what one client may use, and within which bounds that can be set.
//!
//! Owns defaults and ranges; enforces nothing.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::rates;
use crate::flaw::{Flaw, show};
use crate::section::{Read, Section};
use crate::value::{duration, size};
use crate::{Limits, ListenerLimits, LocalLimits, MinRate};

/// A million sockets is what one address and port pair of a big machine bears.
pub(crate) const CONNECTIONS: RangeInclusive<u32> = 1..=1_048_576;
/// A network that is given less than a /32 is a provider's; a /128 is one address.
const IPV6_PREFIX: RangeInclusive<u32> = 32..=128;
/// The least is a table of a few pages; the most is 256 MiB.
const RATE_ENTRIES: RangeInclusive<u32> = 1024..=16_777_216;
/// Below 256 bytes ordinary links fail; a target is part of a head.
const URI_SIZE: RangeInclusive<u64> = 256..=(1 << 20);
/// Each one that waits holds its connection.
const QUEUE: RangeInclusive<u32> = 0..=1_048_576;
/// Below 1 KiB browsers fail; above 1 MiB Pingora stops reading.
const HEADER_SIZE: RangeInclusive<u64> = (1 << 10)..=(1 << 20);
/// Pingora's HTTP/1 parser stops at 256 fields.
const HEADER_COUNT: RangeInclusive<u32> = 1..=256;
/// Zero would mean "no limit" to some and "no body" to others.
const BODY_SIZE: RangeInclusive<u64> = 1..=(1 << 50);
/// The framework ends an idle connection's first read after 60 s, whatever else is set.
const HEADER_TIMEOUT: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(60);
/// Any client that is alive does the least; above the most, mobile ones would be cut off.
const BODY_RATE: RangeInclusive<u64> = 1..=(1 << 20);
const RATE: &str = "a size such as \"1MiB\" (each second), or \"off\"";
const KEEPALIVE_REQUESTS: RangeInclusive<u32> = 1..=1_000_000;
/// More streams make rapid reset (CVE-2023-44487) cheaper for the client.
const H2_STREAMS: RangeInclusive<u32> = 1..=1000;
/// Fewer and browsers would meet it.
const H2_FRAMES: RangeInclusive<u32> = 20..=1_000_000;

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 16_384,
            max_connections_per_client: 1024,
            max_requests_per_client: 1024,
            ipv6_prefix: 64,
            rate_limit_entries: 1 << 18,
            handshake_rate: None,
            max_uri_size: 8 << 10,
            max_header_size: 32 << 10,
            max_header_count: 100,
            max_body_size: Some(1 << 20),
            header_timeout: Duration::from_secs(10),
            min_body_rate: Some(500),
            min_response_rate: Some(500),
            request_timeout: None,
            read_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(60),
            keepalive_timeout: Duration::from_secs(75),
            keepalive_requests: 1000,
            max_h2_streams: 100,
            max_h2_resets: 200,
            max_h2_control_frames: 1000,
        }
    }
}

/// The table.
pub(crate) fn read(section: &Section<'_>) -> Limits {
    let default = Limits::default();
    let time = |key, check: fn(&str) -> Result<Duration, Flaw>, default| {
        section.read(key, duration::EXPECTED, check).or(default)
    };
    let count = |key, range| section.number(key, range).good().map(|count| count.value);
    let index_or = |key, range, default| count(key, range).map_or(default, |count| index(count.into()));
    let header = section.read("max_header_size", size::EXPECTED, |text| size::within(text, &HEADER_SIZE));
    let uri = section.read("max_uri_size", size::EXPECTED, |text| size::within(text, &URI_SIZE));
    let rate = |key| section.read(key, RATE, body_rate);
    Limits {
        max_connections: index_or("max_connections", CONNECTIONS, default.max_connections),
        max_connections_per_client: index_or(
            "max_connections_per_client",
            CONNECTIONS,
            default.max_connections_per_client,
        ),
        max_requests_per_client: index_or(
            "max_requests_per_client",
            CONNECTIONS,
            default.max_requests_per_client,
        ),
        ipv6_prefix: count("ipv6_prefix", IPV6_PREFIX)
            .and_then(|bits| u8::try_from(bits).ok())
            .unwrap_or(default.ipv6_prefix),
        rate_limit_entries: index_or("rate_limit_entries", RATE_ENTRIES, default.rate_limit_entries),
        handshake_rate: rates::handshakes(section),
        max_uri_size: uri.good().map_or(default.max_uri_size, |size| index(size.value)),
        max_header_size: header.good().map_or(default.max_header_size, |size| index(size.value)),
        max_header_count: index_or("max_header_count", HEADER_COUNT, default.max_header_count),
        max_body_size: max_body_size(section).or(default.max_body_size),
        header_timeout: time("header_timeout", header_timeout, default.header_timeout),
        min_body_rate: rate("min_body_rate").or(default.min_body_rate),
        min_response_rate: rate("min_response_rate").or(default.min_response_rate),
        request_timeout: request_timeout(section).or(default.request_timeout),
        read_timeout: time("read_timeout", duration::positive, default.read_timeout),
        write_timeout: time("write_timeout", duration::positive, default.write_timeout),
        keepalive_timeout: time("keepalive_timeout", duration::any, default.keepalive_timeout),
        keepalive_requests: count("keepalive_requests", KEEPALIVE_REQUESTS)
            .unwrap_or(default.keepalive_requests),
        max_h2_streams: count("max_h2_streams", H2_STREAMS).unwrap_or(default.max_h2_streams),
        max_h2_resets: count("max_h2_resets", H2_FRAMES).unwrap_or(default.max_h2_resets),
        max_h2_control_frames: count("max_h2_control_frames", H2_FRAMES)
            .unwrap_or(default.max_h2_control_frames),
    }
}

/// The limits that an entry of `http` or `https` sets for itself.
pub(crate) fn of_listener(section: &Section<'_>) -> ListenerLimits {
    let rate = |key| section.read(key, RATE, body_rate).good().map(|rate| MinRate::from(rate.value));
    let frames = |key| section.number(key, H2_FRAMES).good().map(|count| count.value);
    let header_timeout = section.read("header_timeout", duration::EXPECTED, header_timeout).good();
    ListenerLimits {
        header_timeout: header_timeout.map(|time| time.value),
        min_body_rate: rate("min_body_rate"),
        min_response_rate: rate("min_response_rate"),
        max_h2_resets: frames("max_h2_resets"),
        max_h2_control_frames: frames("max_h2_control_frames"),
    }
}

/// The limits that a vhost or route sets for itself, over those that hold around it.
pub(crate) fn local(section: &Section<'_>, inherited: LocalLimits) -> LocalLimits {
    let time = |key, default| section.read(key, duration::EXPECTED, duration::positive).or(default);
    let requests = |key, default| section.number_or(key, CONNECTIONS, "unlimited").or(default);
    LocalLimits {
        max_body_size: max_body_size(section).or(inherited.max_body_size),
        request_timeout: request_timeout(section).or(inherited.request_timeout),
        read_timeout: time("read_timeout", inherited.read_timeout),
        write_timeout: time("write_timeout", inherited.write_timeout),
        max_concurrent: requests("max_concurrent", inherited.max_concurrent),
        max_concurrent_per_client: requests("max_concurrent_per_client", inherited.max_concurrent_per_client),
        max_queue: section.number("max_queue", QUEUE).or(inherited.max_queue),
        queue_timeout: time("queue_timeout", inherited.queue_timeout),
    }
}

fn request_timeout(section: &Section<'_>) -> Read<Option<Duration>> {
    section.read("request_timeout", "a duration such as \"5s\", or \"off\"", |text| match text {
        "off" => Ok(None),
        _ => duration::positive(text).map(Some),
    })
}

fn max_body_size(section: &Section<'_>) -> Read<Option<u64>> {
    section.read("max_body_size", "a size such as \"1MiB\", or \"unlimited\"", body_size)
}

fn body_size(text: &str) -> Result<Option<u64>, Flaw> {
    match text {
        "unlimited" => Ok(None),
        "0" | "0B" => Err(Flaw::new(format!("{} would refuse every body", show(text)))
            .help("\"unlimited\" lifts the limit; \"1B\" is the smallest")),
        _ => size::within(text, &BODY_SIZE).map(Some),
    }
}

fn header_timeout(text: &str) -> Result<Duration, Flaw> {
    let time = duration::positive(text)?;
    if HEADER_TIMEOUT.contains(&time) {
        return Ok(time);
    }
    Err(Flaw::new(format!("{} is out of range", show(text))).help("choose 1s to 60s"))
}

fn body_rate(text: &str) -> Result<Option<u64>, Flaw> {
    match text {
        "off" => Ok(None),
        _ => size::within(text, &BODY_RATE).map(Some),
    }
}

/// The ranges above fit every `usize` that Linux runs on.
pub(crate) fn index(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}
