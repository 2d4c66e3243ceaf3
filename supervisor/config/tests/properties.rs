//! What holds for every text and every configuration.
#![expect(clippy::unwrap_used, reason = "a test ends where its premise fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fluxheim_config::*;
use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

#[path = "properties/acme.rs"]
mod acme;
#[path = "properties/balancing.rs"]
mod balancing;
#[path = "properties/client_auth.rs"]
mod client_auth;

const FULL: &str = r#"
[server]
http = ["0.0.0.0:8080", { address = "[::]:8080", max_connections = 9, max_connections_per_client = 3, header_timeout = "2s", min_body_rate = "off", min_response_rate = "1KiB", max_h2_resets = 30, max_h2_control_frames = 40 }]
https = ["0.0.0.0:8443"]
trusted_proxies = ["10.0.0.0/8", "::1"]
threads = 4
drain_delay = "500ms"
[hardening]
profile = "strict"
no_swap = "observe"
[storage]
trusted_filesystems = ["nfs", "fuse"]
[tls]
profile = "modern"
strict_sni = true
session_tickets = { key_file = "t.key", rotation = "1h" }
[[tls.certificates]]
name = "a"
cert = "a.pem"
key = "a.key"
[[tls.certificates]]
name = "b"
cert = "b.pem"
key = "b.key"
ocsp = "b.ocsp"
[acme]
directory = "https://ca.example/dir"
contact = ["mailto:ops@example.com"]
terms_of_service_agreed = true
external_account = { key_id_file = "kid", hmac_key_file = "hmac" }
dns = { provider = "rfc2136", server = "[::1]:53", key_name = "k", key_file = "f" }
[acme.storage.redis]
address = "redis:6379"
seal_key_file = "seal"
[[upstreams]]
name = "app"
servers = ["app-1:3000", "srv:_http._tcp.app.test", { address = "[::1]:80", weight = 2, backup = true, zone = "a", max_in_flight = 9 }]
hash = { by = "header:x-user", kind = "maglev" }
sticky = { cookie = "srv", secret_file = "sticky.key", ttl = "1h" }
health = { path = "/healthz", expect_status = ["200", "204-299"], host = "a.test" }
outlier = { consecutive_5xx = 9, max_ejected = 30 }
slow_start = "30s"
queue = { size = 10 }
retry = { attempts = 3, on = ["connect", "503"] }
[[vhosts]]
hosts = ["example.com", "*.example.com"]
certificate = ["a", "b"]
[[vhosts.routes]]
path = "= /x"
upstream = "app"
[[vhosts.routes]]
path = "/"
static = "/srv"
[[vhosts.routes]]
path = "~ ^/u/(?<id>\\d+)$"
methods = ["GET"]
headers = { "X-Canary" = "~ ^1" }
redirect = { to = "https://{host}/x/{id}{query}", status = 301 }
response_headers = { set = { "X-User" = "$1" } }
[defaults]
rate_limit = [{ requests = 9, per = "1m", by = "header:X-Key" }, { requests = 1, per = "1s", mode = "observe" }]
[limits]
handshake_rate = { handshakes = 9, per = "1s" }
max_body_size = "unlimited"
request_timeout = "off"
[logging]
access = false
format = "text"
exclude_fields = ["user_agent"]
skip_paths = ["/healthz"]
[tracing]
request_id = { header = "X-Correlation-Id", trust = "never" }
sample_ratio = "12.5%"
[metrics]
listen = ["127.0.0.1:9100"]
[admin]
socket = "/run/fluxheim/admin.sock"
"#;

fn read(text: &str) -> Result<Config, Mistakes> {
    parse(&[Source { path: "f.toml".into(), text: text.to_owned() }])
}

fn duration(least: u64) -> impl Strategy<Value = Duration> {
    prop_oneof![least..100_000, least..=366 * 86_400_000].prop_map(Duration::from_millis)
}

fn file() -> impl Strategy<Value = std::path::PathBuf> {
    "[a-z/\"\\\\ é\u{202e}\n'.#]{1,12}".prop_map(Into::into)
}

/// Addresses that never want each other's port.
fn listeners(port: u16) -> impl Strategy<Value = Vec<SocketAddr>> {
    vec(any::<IpAddr>(), 1..4)
        .prop_map(move |ips| (port..).zip(ips).map(|(port, ip)| SocketAddr::new(ip, port)).collect())
}

prop_compose! {
    fn paces()(
        header_timeout in option::of((1000..=60_000u64).prop_map(Duration::from_millis)),
        (body, response) in (option::of(option::of(1..=1u64 << 20)), option::of(option::of(1..=1u64 << 20))),
        (max_h2_resets, max_h2_control_frames) in (option::of(20..=1_000_000u32), option::of(20..=1_000_000u32)),
    ) -> ListenerLimits {
        ListenerLimits {
            header_timeout,
            min_body_rate: body.map(MinRate::from),
            min_response_rate: response.map(MinRate::from),
            max_h2_resets,
            max_h2_control_frames,
        }
    }
}

/// The same with limits of their own.
fn doors(port: u16) -> impl Strategy<Value = Vec<Listener>> {
    let limit = || option::of(1..=1_048_576usize);
    (listeners(port), vec((limit(), limit(), paces()), 4)).prop_map(move |(addresses, limits)| {
        let door =
            |(address, (max_connections, max_connections_per_client, limits)): (SocketAddr, _)| Listener {
                max_connections,
                max_connections_per_client,
                limits,
                h2c: max_connections.is_some() && port == 8000,
                ..address.into()
            };
        addresses.into_iter().zip(limits).map(door).collect()
    })
}

prop_compose! {
    fn logging()(
        level in select(vec![LogLevel::Error, LogLevel::Warn, LogLevel::Info, LogLevel::Debug, LogLevel::Trace]),
        access in any::<bool>(),
        format in select(vec![LogFormat::Json, LogFormat::Text]),
        fields in btree_set(select(LogField::ALL.to_vec()), 0..6),
        query in select(vec![LogQuery::Masked, LogQuery::Full, LogQuery::Off]),
        skip_paths in vec("/[a-z\"\\\\ é]{0,6}", 0..3),
    ) -> Logging {
        Logging { level, access, format, fields: fields.into_iter().collect(), query, skip_paths }
    }
}

fn trust() -> impl Strategy<Value = Trust> {
    select(vec![Trust::TrustedProxies, Trust::Always, Trust::Never])
}

prop_compose! {
    fn tracing()(
        header in "[A-Za-z]-[A-Za-z0-9_]{1,8}",
        (id_trust, trust) in (trust(), trust()),
        propagate in any::<bool>(),
        otlp in option::of((0..2usize, "/[a-z\"\\\\]{0,6}", "[a-z]{1,6}", 1..60_000u64)),
    ) -> Tracing {
        let otlp = otlp.map(|(upstream, path, service_name, millis)| Otlp {
            upstream,
            path,
            service_name,
            interval: Duration::from_millis(millis),
        });
        let request_id = RequestId { header, trust: id_trust };
        Tracing { request_id, propagate, trust, otlp, ..Tracing::default() }
    }
}

prop_compose! {
    fn server()(
        http in doors(8000),
        https in doors(9000),
        trusted_proxies in vec((any::<IpAddr>(), 0..=32u8), 0..3),
        threads in option::of(1..=1024usize),
        zone in balancing::zone(),
        (delay, drain, spare) in (duration(0), duration(1), duration(0)),
    ) -> Server {
        let third = Duration::from_secs(100 * 86_400);
        let (drain_delay, drain_timeout) = (delay.min(third), drain.min(third));
        let mut https: Vec<Listener> = https;
        https.iter_mut().for_each(|listener| listener.proxy_protocol = !trusted_proxies.is_empty());
        Server {
            http,
            https,
            trusted_proxies: trusted_proxies
                .into_iter()
                .map(|(ip, length)| ipnet::IpNet::new(ip, length).unwrap().trunc())
                .collect(),
            zone,
            threads: threads.and_then(std::num::NonZeroUsize::new),
            drain_delay,
            drain_timeout,
            stop_timeout: drain_delay + drain_timeout + Duration::from_secs(1) + spare.min(third),
        }
    }
}

fn hardening() -> impl Strategy<Value = Hardening> {
    let overrides = btree_map(select(Control::ALL.to_vec()), select(Level::ALL.to_vec()), 0..5);
    (select(Profile::ALL.to_vec()), overrides)
        .prop_map(|(profile, overrides)| Hardening { profile, overrides: possible(profile, overrides) })
}

/// Without what is a mistake together (tests/mistakes.rs has those).
fn possible(profile: Profile, mut overrides: BTreeMap<Control, Level>) -> BTreeMap<Control, Level> {
    overrides.remove(&Control::NoNewPrivs);
    if profile == Profile::DockerRoot {
        overrides.remove(&Control::Identity);
    }
    if profile == Profile::K8sRestricted {
        overrides.remove(&Control::MemoryLock);
        overrides.remove(&Control::Securebits);
    }
    overrides
}

fn session_tickets() -> impl Strategy<Value = SessionTickets> {
    (any::<bool>(), option::of(file()), 60_000..=604_800_000u64).prop_map(|(enabled, key_file, rotation)| {
        SessionTickets { enabled, key_file, rotation: Duration::from_millis(rotation) }
    })
}

prop_compose! {
    fn tls()(
        (profile, min_version) in select(vec![
            (TlsProfile::Intermediate, TlsVersion::V1_2),
            (TlsProfile::Intermediate, TlsVersion::V1_3),
            (TlsProfile::Modern, TlsVersion::V1_3),
        ]),
        strict_sni in any::<bool>(),
        handshake_timeout in duration(1),
        (session_cache_size, session_tickets) in (0..=1_048_576usize, session_tickets()),
        offload_threads in 0..=1024usize,
        watch in (any::<bool>(), duration(1000)).prop_map(|(enabled, poll)| Watch { enabled, poll }),
        names in btree_map("[A-Za-z0-9_.-]{5,9}", (file(), file(), option::of(file())), 1..4),
    ) -> Tls {
        Tls {
            profile,
            min_version,
            strict_sni,
            handshake_timeout,
            session_cache_size,
            session_tickets,
            offload_threads,
            watch,
            certificates: names
                .into_iter()
                .map(|(name, (cert, key, ocsp))| Certificate { name, cert, key, ocsp })
                .collect(),
        }
    }
}

fn host() -> impl Strategy<Value = UpstreamHost> {
    prop_oneof![
        any::<IpAddr>().prop_map(UpstreamHost::Ip),
        "[a-z0-9_]{1,9}(-[a-z0-9]{1,3})?(\\.[a-z]{2,5}){0,2}x".prop_map(UpstreamHost::Name),
    ]
}

prop_compose! {
    fn upstream(name: String)(
        choosing in balancing::upstream(name.clone()).boxed(),
        connect_timeout in duration(1),
        read_timeout in duration(1),
        write_timeout in duration(1),
        keepalive_timeout in duration(0),
        (keepalive_requests, keepalive_time, upgrade_idle_timeout) in (1..=u32::MAX, duration(1), duration(1)),
        proxy_protocol in select(vec![None, Some(ProxyVersion::V1), Some(ProxyVersion::V2)]),
        (tls, http2) in (option::of(upstream_tls()), any::<bool>()),
    ) -> Upstream {
        let protocol = match (http2, &tls) {
            (false, _) => UpstreamProtocol::Http1,
            (true, None) => UpstreamProtocol::H2c,
            (true, Some(tls)) if tls.client.is_none() => UpstreamProtocol::H2,
            (true, Some(_)) => UpstreamProtocol::Auto,
        };
        Upstream {
            connect_timeout,
            read_timeout,
            write_timeout,
            keepalive_timeout,
            keepalive_requests,
            keepalive_time,
            upgrade_idle_timeout,
            protocol,
            proxy_protocol,
            tls,
            ..choosing
        }
    }
}

prop_compose! {
    fn upstream_tls()(
        (ca, client, name) in (option::of(file()), option::of((file(), file())), host()),
        min_version in select(vec![TlsVersion::V1_2, TlsVersion::V1_3]),
        insecure in any::<bool>(),
    ) -> UpstreamTls {
        UpstreamTls {
            insecure_skip_verify: insecure && ca.is_none(),
            ca,
            client: client.map(|(cert, key)| ClientCertificate { cert, key }),
            server_name: Some(name),
            min_version,
        }
    }
}

fn pattern() -> impl Strategy<Value = HostPattern> {
    prop_oneof![
        "[a-z]{3,9}\\.[a-z]{2,3}".prop_map(HostPattern::Exact),
        any::<IpAddr>().prop_map(|ip| HostPattern::Exact(ip.to_string())),
        "[a-z]{3,9}\\.[a-z]{2,3}".prop_map(HostPattern::Wildcard),
        Just(HostPattern::Any),
    ]
}

fn path() -> impl Strategy<Value = PathMatch> {
    let text = "(/[a-z~!$&'()*+,;=:@_-]{1,5}){0,3}/?"
        .prop_map(|path| if path.is_empty() { "/".into() } else { path });
    (any::<bool>(), text)
        .prop_map(|(exact, path)| if exact { PathMatch::Exact(path) } else { PathMatch::Prefix(path) })
}

fn codings() -> impl Strategy<Value = Vec<Coding>> {
    proptest::sample::subsequence(Coding::ALL.to_vec(), 0..=3).prop_shuffle()
}

prop_compose! {
    fn files()(
        root in file(),
        index in vec("[a-z.é\"]{3,9}", 0..3),
        (listing, hidden) in any::<(bool, bool)>(),
        precompressed in codings(),
        fallback in option::of("(/[a-zé\"]{1,5}){1,3}"),
        cache_control in option::of("[!-~]([ -~]{0,9}[!-~])?"),
    ) -> StaticFiles {
        StaticFiles { root, index, listing, precompressed, fallback, hidden, cache_control }
    }
}

prop_compose! {
    fn local_limits()(
        max_body_size in option::of(1..=1u64 << 50),
        (request_timeout, read_timeout, write_timeout) in (option::of(duration(1)), duration(1), duration(1)),
        (max_concurrent, max_concurrent_per_client) in
            (option::of(1..=1_048_576u32), option::of(1..=1_048_576u32)),
        (max_queue, queue_timeout) in (0..=1_048_576u32, duration(1)),
    ) -> LocalLimits {
        LocalLimits {
            max_body_size,
            request_timeout,
            read_timeout,
            write_timeout,
            max_concurrent,
            max_concurrent_per_client,
            max_queue,
            queue_timeout,
        }
    }
}

fn networks() -> impl Strategy<Value = Vec<ipnet::IpNet>> {
    let v6 = |ip: &IpAddr| ip.is_ipv4() || ip.to_canonical().is_ipv6();
    let ip = any::<IpAddr>().prop_filter("an IPv4 network in IPv6 clothes is refused", v6);
    vec((ip, 1..=32u8), 1..3).prop_map(|networks| {
        networks.into_iter().map(|(ip, length)| ipnet::IpNet::new(ip, length).unwrap().trunc()).collect()
    })
}

fn access() -> impl Strategy<Value = Access> {
    (networks(), networks()).prop_map(|(allow, mut deny)| {
        deny.retain(|network| !allow.iter().any(|allowed| network.contains(allowed)));
        Access { allow, deny }
    })
}

prop_compose! {
    fn security_headers()(
        profile in select(vec![HeaderProfile::Off, HeaderProfile::Basic, HeaderProfile::Strict]),
        hsts in option::of((0..=u64::MAX).prop_map(|age| format!("max-age={age}"))),
        (frame_options, referrer_policy, opener) in (
            option::of(select(vec!["DENY", "SAMEORIGIN"])),
            option::of(select(vec!["no-referrer", "origin"])),
            option::of(select(vec!["same-origin", "unsafe-none"])),
        ),
        content_security_policy in option::of("[!-~]([ -~]{0,20}[!-~])?"),
        replace in any::<bool>(),
    ) -> SecurityHeaders {
        let text = |word: Option<&str>| word.map(str::to_owned);
        SecurityHeaders {
            profile,
            hsts,
            content_type_options: Some("nosniff".to_owned()),
            frame_options: text(frame_options),
            referrer_policy: text(referrer_policy),
            content_security_policy: content_security_policy.filter(|policy| policy != "off"),
            permissions_policy: None,
            cross_origin_opener_policy: text(opener),
            cross_origin_embedder_policy: None,
            cross_origin_resource_policy: Some("same-site".to_owned()),
            replace,
        }
    }
}

prop_compose! {
    fn rate_limit(name: &'static str)(
        (requests, burst) in (1..=1_000_000u32, 1..=1_000_000u32),
        per in (1000..=86_400_000u64).prop_map(Duration::from_millis),
        by in prop_oneof![
            Just(RateKey::ClientIp),
            Just(RateKey::Vhost),
            Just(RateKey::Path),
            "[a-z!#$%&'*+.^_`|~-]{1,9}".prop_map(RateKey::Header),
        ]
        .prop_flat_map(|first| {
            // All requests together are no more than that.
            let most = if first == RateKey::Vhost { 1 } else { 2 };
            let more = vec("[a-z]{10,12}".prop_map(RateKey::Header), 0..most);
            more.prop_map(move |more| std::iter::once(first.clone()).chain(more).collect::<BTreeSet<_>>())
        })
        .prop_map(|keys| keys.into_iter().collect()),
        enforced in any::<bool>(),
    ) -> RateLimit {
        RateLimit { name: name.to_owned(), requests, per, burst, by, enforced }
    }
}

fn rate_limits() -> impl Strategy<Value = Vec<RateLimit>> {
    (rate_limit("one"), rate_limit("two"), 0..=2usize)
        .prop_map(|(one, two, count)| [one, two].into_iter().take(count).collect())
}

prop_compose! {
    fn cors()(
        origins in vec("https://[a-z]{1,5}\\.[a-z]{2,3}(:8[0-9]{3})?".prop_map(Origin::Exact), 1..3),
        below in option::of("\\.[a-z]{2,5}\\.[a-z]{2,3}"),
        methods in vec("[A-Z]{1,5}", 0..3),
        (headers, expose) in (vec("[a-z][a-z0-9-]{0,5}", 0..3), vec("[a-z][a-z0-9-]{0,5}", 0..3)),
        credentials in any::<bool>(),
        max_age in duration(0),
    ) -> Cors {
        let below = below.map(|rest| Origin::Below { scheme: "http://".to_owned(), rest });
        Cors { origins: origins.into_iter().chain(below).collect(), methods, headers, expose, credentials, max_age }
    }
}

prop_compose! {
    fn basic_auth()(
        users_file in file(),
        realm in "[a-z]([ -!#-\\[a-z]{0,8}[a-z])?".prop_filter("no backslash", |realm| !realm.contains('\\')),
        forward_authorization in any::<bool>(),
        user_header in option::of("x-[a-z]{1,5}"),
    ) -> BasicAuth {
        BasicAuth { users_file, realm, forward_authorization, user_header }
    }
}

/// What a name without control characters may look like, quotes among them.
const TEXT: &str = "[a-z\"'\\\\ é=*~#]{1,8}x";

fn value_match() -> impl Strategy<Value = ValueMatch> {
    prop_oneof![
        Just(ValueMatch::Any),
        TEXT.prop_map(ValueMatch::Is),
        "[a-z.^$]{1,5}x".prop_map(ValueMatch::Regex),
    ]
}

fn jwt_keys() -> impl Strategy<Value = JwtKeys> {
    let fetched = (0..2usize, "/[a-z]{1,5}(\\?[a-z=]{1,5})?", 10..=86_400u64, duration(1)).prop_map(
        |(upstream, path, refresh, timeout)| {
            JwtKeys::Fetched(Jwks { upstream, path, refresh: Duration::from_secs(refresh), timeout })
        },
    );
    prop_oneof![file().prop_map(JwtKeys::File), fetched]
}

prop_compose! {
    /// Never from `Authorization`, which may have a password already.
    fn jwt()(
        keys in jwt_keys(),
        issuers in vec("[a-z:/.é\"]{1,9}", 1..3),
        audiences in option::of(vec("[b-z:/.]{1,9}", 1..3)),
        algorithms in proptest::sample::subsequence(JwtAlgorithm::ALL.to_vec(), 1..=4),
        claims in btree_map("[a-z/.é\" ]{1,5}", vec("[a-zé\"]{0,5}", 1..3), 0..3),
        forward in btree_set("[a-z/.é\" ]{1,5}", 0..3),
        source in prop_oneof![
            "[a-z]{1,5}".prop_map(TokenSource::Cookie),
            "x-[a-z]{1,5}".prop_map(TokenSource::Header),
        ],
        (forward_token, leeway) in (any::<bool>(), 0..=300_000u64),
    ) -> Jwt {
        let forward = forward.into_iter().enumerate().map(|(n, claim)| (format!("x-{n}"), claim)).collect();
        let leeway = Duration::from_millis(leeway);
        let realm = "somewhere".to_owned();
        Jwt { keys, issuers, audiences, algorithms, claims, forward, source, forward_token, leeway, realm }
    }
}

fn auth_key() -> impl Strategy<Value = AuthKey> {
    prop_oneof![
        select(vec![AuthKey::ClientIp, AuthKey::Method, AuthKey::Host, AuthKey::Path, AuthKey::Target]),
        "[a-z]{1,5}".prop_map(AuthKey::Header),
    ]
}

fn media_range() -> impl Strategy<Value = MediaRange> {
    let word = || "[a-z0-9.-]{1,9}";
    prop_oneof![
        (word(), word()).prop_map(|(kind, subtype)| MediaRange::Exact(format!("{kind}/{subtype}"))),
        word().prop_map(MediaRange::Kind),
        word().prop_map(MediaRange::Suffix),
    ]
}

prop_compose! {
    fn forward_auth()(
        (upstream, path) in (0..2usize, "/[a-z]{1,5}(\\?[a-z=]{1,5})?"),
        (more, response_headers) in (vec("[a-z]{1,3}", 0..3), vec("x-[a-z]{1,5}", 0..3)),
        timeout in duration(1),
        cache in option::of((1..=3_600_000u64, vec(auth_key(), 0..3))),
    ) -> ForwardAuth {
        let user = AuthKey::Header("cookie".to_owned());
        let cache = cache.map(|(ttl, by)| AuthCache {
            ttl: Duration::from_millis(ttl),
            by: by.into_iter().chain([user]).collect(),
        });
        let more = more.into_iter().filter(|name| name != "te" && name != "via");
        let request_headers = std::iter::once("cookie".to_owned()).chain(more).collect();
        ForwardAuth { upstream, path, request_headers, response_headers, timeout, cache }
    }
}

prop_compose! {
    fn packing()(
        algorithms in codings().prop_filter("not empty", |codings| !codings.is_empty()),
        types in vec(media_range(), 1..4),
        min_size in 64..=1_u64 << 30,
        level in select(CompressionLevel::ALL.to_vec()),
        personal in any::<bool>(),
    ) -> Arc<Compression> {
        Arc::new(Compression { algorithms, types, min_size, level, personal })
    }
}

fn errors() -> impl Strategy<Value = Arc<Errors>> {
    let statuses = prop_oneof![(400..600u16).prop_map(Statuses::One), (4..6u16).prop_map(Statuses::Class)];
    let range = (400..600u16, 0..200u16)
        .prop_map(|(first, more)| StatusRange { first, last: (first + more).min(599) });
    (select(ErrorFormat::ALL.to_vec()), btree_map(statuses, file(), 0..3), vec(range, 0..3))
        .prop_map(|(format, pages, intercept)| Arc::new(Errors { format, pages, intercept }))
}

fn compression() -> impl Strategy<Value = Option<Arc<Compression>>> {
    option::of(packing())
}

prop_compose! {
    fn conditions()(
        methods in btree_set(select(vec!["POST", "PUT", "PROPFIND"]), 0..3),
        headers in btree_map("[a-z_-]{5,9}", value_match(), 0..3),
        query in btree_map(TEXT, value_match(), 0..3),
        client in option::of(client_auth::condition()),
    ) -> Conditions {
        Conditions { methods: methods.into_iter().map(str::to_owned).collect(), headers, query, client }
    }
}

fn template() -> impl Strategy<Value = Template> {
    "[a-z\"'\\\\ é]{0,5}[{]host[}][a-z]{0,5}([{][{]|[}][}]|[$][$])?x"
        .prop_map(|text| text.trim().parse().unwrap())
}

prop_compose! {
    fn edits()(
        set in btree_map("x-a[a-z]{1,5}", template(), 0..3),
        add in btree_map("x-b[a-z]{1,5}", template(), 0..3),
        remove in btree_set("x-c[a-z]{1,5}", 0..3),
    ) -> HeaderEdits {
        HeaderEdits { set, add, remove }
    }
}

prop_compose! {
    fn policy()(
        limits in local_limits(),
        rate_limits in rate_limits(),
        access in option::of(access().boxed()),
        security_headers in option::of(security_headers().boxed()),
        cors in option::of(cors().boxed()),
        basic_auth in option::of(basic_auth().boxed()),
        jwt in option::of(jwt().boxed()),
        forward_auth in option::of(forward_auth().boxed()),
        client_identity in option::of(client_auth::identity().boxed()),
        compression in compression().boxed(),
        errors in errors().boxed(),
        (request_headers, response_headers, upstream_host) in
            (edits(), edits(), option::of("[a-z]{3,9}\\.[a-z]{2,3}(:[1-9][0-9]{0,3})?")).boxed(),
        (upstream_location, underscores_in_headers, encoded_slash, non_utf8_path) in (
            select(vec![UpstreamLocation::Host, UpstreamLocation::Prefix, UpstreamLocation::Pass]),
            select(vec![Underscores::Drop, Underscores::Pass, Underscores::Refuse]),
            select(vec![Ambiguous::Refuse, Ambiguous::Pass]),
            select(vec![Ambiguous::Refuse, Ambiguous::Pass]),
        ),
    ) -> Policy {
        Policy {
            limits,
            rate_limits,
            access: access.map(Arc::new),
            security_headers: security_headers.map(Arc::new),
            cors: cors.map(Arc::new),
            basic_auth: basic_auth.map(Arc::new),
            jwt: jwt.map(Arc::new),
            forward_auth: forward_auth.map(Arc::new),
            client_identity: client_identity.map(Arc::new),
            compression,
            errors,
            request_headers,
            response_headers,
            upstream_host,
            upstream_location,
            underscores_in_headers,
            encoded_slash,
            non_utf8_path,
        }
    }
}

fn rewrite() -> impl Strategy<Value = Option<Rewrite>> {
    let path = || "/[a-z]{1,5}";
    option::of(prop_oneof![
        path().prop_map(|add| Rewrite::Prefix { strip: None, add: Some(add) }),
        path().prop_map(Rewrite::Replace),
        "/[{]host[}]/[a-z%~'\"]{0,5}".prop_map(|text| Rewrite::Path(text.parse().unwrap())),
    ])
}

fn action() -> impl Strategy<Value = Action> {
    let statuses = select(vec![301, 302, 303, 307, 308]);
    let redirect = ("[a-z]{1,5}\\.test", "/[a-z]{0,4}", statuses).prop_map(|(host, path, status)| Redirect {
        to: format!("https://{host}{path}{{query}}"),
        origin: Some(format!("https://{host}").parse().unwrap()),
        target: format!("{path}{{query}}").parse().unwrap(),
        status,
    });
    let kind = || "text/html".to_owned();
    let body = prop_oneof![
        "[a-z\"'\\\\ é\n]{0,9}".prop_map(move |text| (RespondBody::Text(text), Some(kind()))),
        (file(), any::<bool>()).prop_map(move |(file, typed)| (RespondBody::File(file), typed.then(kind))),
    ];
    let respond = (select(vec![200, 404, 599]), body).prop_map(|(status, (body, content_type))| Respond {
        status,
        body,
        content_type,
    });
    prop_oneof![
        (0..2usize).prop_map(Action::Upstream),
        files().prop_map(Action::Static),
        redirect.prop_map(Action::Redirect),
        respond.prop_map(Action::Respond),
    ]
}

/// Of the one that every configuration here has.
fn certificate() -> impl Strategy<Value = VhostCertificate> {
    select(vec![VhostCertificate::ByName, VhostCertificate::Own(vec![0])])
}

/// Of certificates that nobody asks for there is nothing to tell, but by a signature.
fn unasked(policy: &mut Policy) {
    policy.client_identity = policy.client_identity.take().filter(|told| told.signature.is_some());
}

/// Vhosts that refer to certificate 0 and upstreams 0 and 1.
fn vhosts() -> impl Strategy<Value = Vec<Vhost>> {
    // Boxed: side by side they would take more stack than a test has.
    let of_route =
        (path(), conditions().boxed(), action().boxed(), rewrite().boxed(), policy().boxed()).boxed();
    let routes = vec(of_route, 1..4).prop_map(|routes| {
        let mut kept: Vec<Route> = Vec::new();
        for (path, when, action, rewrite, policy) in routes {
            let rewrite = rewrite.filter(|_| !matches!(action, Action::Respond(_)));
            if kept.iter().all(|route| route.path != path) {
                kept.push(Route { policy, when, rewrite, ..Route::new(path, action) });
            }
        }
        kept
    });
    let client_auth = option::of(client_auth::client_auth().boxed()).boxed();
    let of_vhost = (certificate(), client_auth, routes);
    (btree_set(pattern(), 1..6), vec(of_vhost, 1..4)).prop_map(|(hosts, vhosts)| {
        let hosts: Vec<_> = hosts.into_iter().collect();
        let share = hosts.len().div_ceil(vhosts.len());
        let shares = hosts.chunks(share).map(<[HostPattern]>::to_vec);
        shares
            .zip(vhosts)
            .map(|(hosts, (certificate, client_auth, mut routes))| {
                // Nobody would ever meet a condition on what nobody is asked for.
                if client_auth.is_none() {
                    for route in &mut routes {
                        route.when.client = None;
                        unasked(&mut route.policy);
                    }
                }
                Vhost { certificate, client_auth, ..Vhost::new(hosts, routes) }
            })
            .collect()
    })
}

prop_compose! {
    fn handshake_rate()(
        (handshakes, burst) in (1..=1_000_000u32, 1..=1_000_000u32),
        per in 1000..=86_400_000u64,
    ) -> HandshakeRate {
        HandshakeRate { handshakes, per: Duration::from_millis(per), burst }
    }
}

prop_compose! {
    fn limits()(
        (max_connections, max_header_size, max_header_count) in (1..=1_048_576usize, 1024..=1_048_576usize, 1..=256usize),
        (max_connections_per_client, ipv6_prefix) in (1..=1_048_576usize, 32..=128u8),
        (max_requests_per_client, handshake_rate) in (1..=1_048_576usize, option::of(handshake_rate())),
        max_body_size in option::of(1..=1u64 << 50),
        (rate_limit_entries, max_uri_size) in (1024..=16_777_216usize, 256..=1_048_576usize),
        (request_timeout, min_response_rate) in (option::of(duration(1)), option::of(1..=1u64 << 20)),
        (header_timeout, min_body_rate) in (1000..=60_000u64, option::of(1..=1u64 << 20)),
        (read_timeout, write_timeout, keepalive_timeout) in (duration(1), duration(1), duration(0)),
        (keepalive_requests, max_h2_streams) in (1..=1_000_000u32, 1..=1000u32),
        (max_h2_resets, max_h2_control_frames) in (20..=1_000_000u32, 20..=1_000_000u32),
    ) -> Limits {
        Limits {
            handshake_rate,
            max_connections,
            max_connections_per_client,
            max_requests_per_client,
            ipv6_prefix,
            rate_limit_entries,
            max_uri_size,
            max_header_size,
            max_header_count,
            max_body_size,
            header_timeout: Duration::from_millis(header_timeout),
            min_body_rate,
            min_response_rate,
            request_timeout,
            read_timeout,
            write_timeout,
            keepalive_timeout,
            keepalive_requests,
            max_h2_streams,
            max_h2_resets,
            max_h2_control_frames,
        }
    }
}

prop_compose! {
    fn config()(
        server in server().boxed(),
        hardening in hardening().boxed(),
        trusted in btree_set(select(AdvisoryFilesystem::ALL.to_vec()), 0..4),
        tls in tls().boxed(),
        upstreams in (upstream("one".into()).boxed(), upstream("two".into()).boxed()),
        vhosts in vhosts().boxed(),
        acme in acme::acme().boxed(),
        limits in limits().boxed(),
        logging in logging().boxed(),
        tracing in tracing().boxed(),
        listen in listeners(10_000),
        mut defaults in policy().boxed(),
        socket in option::of("[a-z \"\\\\é#]{1,12}/[a-z]{1,4}"),
    ) -> Config {
        if vhosts.iter().all(|vhost| vhost.client_auth.is_none()) {
            unasked(&mut defaults);
        }
        Config {
            server,
            hardening,
            storage: Storage { trusted_filesystems: trusted.into_iter().collect() },
            tls,
            acme,
            upstreams: vec![upstreams.0, upstreams.1],
            vhosts,
            // Edits of fields are inherited name by name, so that vhosts and routes would have these too.
            defaults: Policy {
                limits: Policy::under(&limits).limits,
                request_headers: HeaderEdits::default(),
                response_headers: HeaderEdits::default(),
                ..defaults
            },
            limits,
            logging,
            tracing,
            metrics: Metrics { listen },
            admin: Admin { socket: socket.map(Into::into) },
        }
    }
}

proptest! {
    #[test]
    fn what_is_printed_parses_back_to_the_same(config in config()) {
        let text = config.to_toml();
        match read(&text) {
            Ok(again) => prop_assert_eq!(again, config),
            Err(mistakes) => prop_assert!(false, "{}\nin\n{}", mistakes, text),
        }
    }

    #[test]
    fn no_text_makes_it_panic(text in any::<String>()) {
        if let Err(mistakes) = read(&text) {
            prop_assert!(mistakes.iter().count() > 0 && !mistakes.to_string().contains('\0'));
        }
    }

    #[test]
    fn no_value_makes_it_panic(text in "[\"\\[\\]{}=.#0-9a-z:/*% \\\\é\u{feff}-]{0,24}", at in 0..FULL.len()) {
        let start = (0..=at).rev().find(|at| FULL.is_char_boundary(*at)).unwrap();
        let _ = read(&format!("{}{text}{}", &FULL[..start], &FULL[start..]));
        let _ = read(&FULL.replace("\"app-1:3000\"", &format!("{text:?}")));
        let _ = read(&FULL.replace("\"https://ca.example/dir\"", &format!("{text:?}")));
        let _ = read(&FULL.replace("\"mailto:ops@example.com\"", &format!("{text:?}")));
        let _ = read(&FULL.replace("\"500ms\"", &format!("{text:?}")));
        let _ = read(&FULL.replace("\"example.com\"", &format!("{text:?}")));
        let _ = read(&FULL.replace("\"= /x\"", &format!("{text:?}")));
        let _ = read(&FULL.replace("\"0.0.0.0:8443\"", &format!("{text:?}")));
        let _ = read(&FULL.replace("\"unlimited\"", &format!("{text:?}")));
        for value in ["\"~ ^/u/(?<id>\\\\d+)$\"", "\"https://{host}/x/{id}{query}\"", "\"~ ^1\"", "\"$1\""] {
            prop_assert!(FULL.contains(value), "{}", value);
            let _ = read(&FULL.replace(value, &format!("{text:?}")));
        }
        let _ = read(&FULL.replace("\"10.0.0.0/8\"", &format!("{text:?}")));
    }

    #[test]
    fn any_cut_and_any_lost_character_is_taken_or_told(at in 0..FULL.len(), lost in 1..9usize) {
        let _ = read(&FULL[..at]);
        let _ = read(&format!("{}{}", &FULL[..at], FULL.get(at + lost..).unwrap_or("")));
    }
}

#[test]
fn the_defaults_are_printed_and_parse_back() {
    for text in ["[server]\nhttp = [\"0.0.0.0:8080\"]\n", FULL] {
        let config = read(text).unwrap();
        assert_eq!(read(&config.to_toml()).unwrap(), config, "{}", config.to_toml());
    }
}

#[test]
fn a_mebibyte_of_anything_is_judged_within_seconds() {
    let size = 1 << 20;
    let fill = |piece: &str| piece.repeat(size / piece.len());
    let listener = "[server]\nhttp = [\"0.0.0.0:8080\"]\n";
    let numbered = |line: &dyn Fn(usize) -> String| (0..20_000).map(line).collect::<String>();
    let texts = [
        ("equals signs", fill("=")),
        ("quotes", fill("\"")),
        ("triple quotes", fill("\"\"\"x\n")),
        ("open brackets", fill("[")),
        ("open lists", fill("a = [\n")),
        ("open headers", fill("[a\n")),
        ("open headers by turns", fill("[a\n[b\n")),
        ("open inline tables", format!("a = {}", fill("{a="))),
        ("dotted keys", format!("{}a = 1", fill("a."))),
        ("one key again and again", fill("a = 1\n")),
        ("one table again and again", fill("[server]\n")),
        ("many vhosts", fill("[[vhosts]]\n")),
        ("bad escapes", format!("a = \"{}\"", fill("\\q"))),
        ("newlines", fill("\n")),
        ("carriage returns", fill("\r")),
        ("wide characters", fill("é")),
        ("a long key", format!("{} = 1", fill("k"))),
        ("a long value", format!("{listener}drain_delay = \"{}\"", fill("1s"))),
        ("many unknown keys", numbered(&|i| format!("key-number-{i} = 1\n"))),
        ("many hosts", format!("[[vhosts]]\nhosts = [{}]", numbered(&|i| format!("\"h{i}.example\", ")))),
        ("many equal hosts", format!("[[vhosts]]\nhosts = [{}]", fill("\"example.com\", "))),
        ("many equal listeners", format!("[server]\nhttp = [{}]", fill("\"0.0.0.0:80\", "))),
        ("many servers", format!("[[upstreams]]\nservers = [{}]", fill("\"a:1\", "))),
        (
            "many unknown upstreams",
            format!(
                "{listener}[[upstreams]]\nname = \"a\"\nservers = [\"a:1\"]\n[[vhosts]]\nhosts = [\"*\"]\n{}",
                numbered(&|i| format!("[[vhosts.routes]]\npath = \"/{i}\"\nupstream = \"u{i}\"\n"))
            ),
        ),
    ];
    for (name, text) in texts {
        let start = Instant::now();
        let result = read(&text);
        let took = start.elapsed();
        assert!(result.is_err(), "{name} is no configuration");
        assert!(took < Duration::from_secs(10), "{name} took {took:?}");
        println!("{name}: {took:?}");
    }
}

#[test]
fn many_names_stay_cheap() {
    let upstreams: String =
        (0..5000).map(|i| format!("[[upstreams]]\nname = \"u{i}\"\nservers = [\"u{i}:80\"]\n")).collect();
    let routes: String =
        (0..5000).map(|i| format!("[[vhosts.routes]]\npath = \"/{i}\"\nupstream = \"u{i}\"\n")).collect();
    let text =
        format!("[server]\nhttp = [\"0.0.0.0:8080\"]\n{upstreams}[[vhosts]]\nhosts = [\"*\"]\n{routes}");
    let start = Instant::now();
    let config = read(&text).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    assert_eq!(config.vhosts[0].routes.len(), 5000);
    assert!(start.elapsed() < Duration::from_secs(10));
}
