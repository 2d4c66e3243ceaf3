//! What people are told, word for word.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends where its premise fails")]

use fluxheim_config::{Config, Control, Level, Profile, Source, VhostCertificate, parse, parse_under};

fn source(path: &str, text: &str) -> Source {
    Source { path: path.into(), text: text.to_owned() }
}

fn told(text: &str) -> String {
    parse(&[source("f.toml", text)]).unwrap_err().to_string()
}

fn read(text: &str) -> Config {
    parse(&[source("f.toml", text)]).unwrap_or_else(|mistakes| panic!("{mistakes}\nin\n{text}"))
}

const LISTEN: &str = "[server]\nhttp = [\"0.0.0.0:8080\"]\n";

fn told_beside_listener(text: &str) -> String {
    told(&format!("{LISTEN}{text}"))
}

#[test]
fn an_empty_configuration_names_the_minimum() {
    let least = "the configuration is empty; the least there must be is a listener: \
                 [server] with http = [\"0.0.0.0:8080\"]";
    assert_eq!(parse(&[]).unwrap_err().to_string(), least);
    assert_eq!(told(""), format!("f.toml:1:1: {least}"));
    assert_eq!(told("# nothing\n\r\n"), format!("f.toml:1:1: {least}"));
}

#[test]
fn nothing_that_listens_is_a_mistake() {
    assert_eq!(
        told("[metrics]\nlisten = [\"127.0.0.1:9100\"]\n"),
        "f.toml:1:1: nothing listens; the least there must be is a listener: \
         [server] with http = [\"0.0.0.0:8080\"]"
    );
}

#[test]
fn the_minimum_gets_every_default() {
    let config = read(LISTEN);
    assert_eq!(config.server.stop_timeout.as_secs(), 10);
    assert_eq!(config.server.drain_timeout.as_secs(), 8);
    assert_eq!(config.limits.max_body_size, Some(1 << 20));
    assert!(config.logging.access && config.vhosts.is_empty() && !config.has_secrets());
}

#[test]
fn several_mistakes_of_all_kinds_are_told_in_one_run() {
    let text = "[server]\nhttp = [\":8080\"]\nhtps = []\ndrain_delay = 5\nthreads = \"2\"\n\
                [logging]\nlevel = \"loud\"\naccess = 1\n[[upstreams]]\nservers = [\"app\"]\nname = \"app\"\n\
                [cache]\n[limits]\nmax_header_count = 300\nmax_body_size = 1024\n";
    assert_eq!(
        told(text),
        "f.toml:2:9: http: \":8080\" is not an address to listen on; write \"0.0.0.0:8080\" for every IPv4 \
         address or \"[::]:8080\" for every IPv6 address\n\
         f.toml:3:1: unknown key \"htps\" in [server]; did you mean \"https\"?\n\
         f.toml:4:15: drain_delay: expected a duration such as \"5s\", found the integer 5; \
         write \"5s\" or another unit\n\
         f.toml:5:11: threads: expected a whole number from 1 to 1024, found the string \"2\"\n\
         f.toml:7:9: level: unknown word \"loud\"; known are error, warn, info, debug, trace\n\
         f.toml:8:10: access: expected true or false, found the integer 1\n\
         f.toml:10:12: servers: \"app\" has no port; add one: \"app-1:3000\"\n\
         f.toml:12:2: [cache] is not supported in this version; remove it\n\
         f.toml:14:20: max_header_count: expected a whole number from 1 to 256, found the integer 300\n\
         f.toml:15:17: max_body_size: expected a size such as \"1MiB\", or \"unlimited\", found the integer \
         1024; write \"1024B\" or another unit"
    );
}

#[test]
fn the_pace_of_requests_has_bounds() {
    let limits = |text: &str| told_beside_listener(&format!("[limits]\n{text}\n"));
    assert_eq!(
        limits("header_timeout = \"5m\"\nmin_body_rate = \"none\""),
        "f.toml:4:18: header_timeout: \"5m\" is out of range; choose 1s to 60s\n\
         f.toml:5:17: min_body_rate: \"none\" is not a size; write a whole number and a unit, such as \"1MiB\""
    );
    assert_eq!(
        limits("min_body_rate = 500\nclient_header_timeout = \"5s\""),
        "f.toml:4:17: min_body_rate: expected a size such as \"1MiB\" (each second), or \"off\", found the integer 500; \
         write \"500B\" or another unit\n\
         f.toml:5:1: unknown key \"client_header_timeout\" in [limits]; here it is called \"header_timeout\""
    );
    let config = read(&format!("{LISTEN}[limits]\nmin_body_rate = \"off\"\n"));
    assert_eq!(config.limits.min_body_rate, None);
    assert_eq!(read(LISTEN).limits.min_body_rate, Some(500));
    assert_eq!(read(LISTEN).limits.header_timeout.as_secs(), 10);
}

#[test]
fn a_typing_error_in_a_key_is_not_also_called_missing() {
    let text = "[tls]\n[[tls.certificates]]\nname = \"a\"\ncertt = \"a.pem\"\nkey = \"a.key\"\n";
    assert_eq!(
        told_beside_listener(text),
        "f.toml:6:1: unknown key \"certt\" in [[tls.certificates]]; did you mean \"cert\"?"
    );
    assert_eq!(
        told("[sever]\nhttp = [\"0.0.0.0:80\"]\n"),
        "f.toml:1:2: unknown key \"sever\" in the file; did you mean \"server\"?"
    );
    assert_eq!(
        told_beside_listener(
            "[[upstream]]\nname = \"a\"\n[[vhosts]]\nhosts = [\"*\"]\nroutes = [{ path = \"/\", upstream = \"a\" }]\n"
        ),
        "f.toml:3:3: unknown key \"upstream\" in the file; did you mean \"upstreams\"?"
    );
}

#[test]
fn a_broken_line_does_not_make_others_look_wrong() {
    assert_eq!(
        told("[server\nhttp = [\"0.0.0.0:8080\"]\n[tls]\nmin_version = 1.2\n"),
        "f.toml:1:8: unclosed table, expected `]`\n\
         f.toml:4:15: min_version: expected \"1.2\" or \"1.3\", found the number 1.2; write \"1.2\""
    );
    assert_eq!(
        told_beside_listener("[[vhosts]\nhosts = [\"*\"]\n[[vhosts.routes]]\npath = \"/\"\nstatic = \"x\"\n"),
        "f.toml:3:10: unclosed array table, expected `]`"
    );
    assert_eq!(
        told("[server]\nhttp = [\n  \"0.0.0.0:8080\"\nthreads = 2\n[logging]\nlevel = \"info\"\n"),
        "f.toml:2:8: unclosed array, expected `]`; close the list with ]"
    );
}

#[test]
fn a_single_table_and_a_list_of_tables_are_told_apart() {
    assert_eq!(
        told_beside_listener("[upstreams]\nname = \"a\"\n"),
        "f.toml:3:1: upstreams: expected a list of tables, found a table; write [[upstreams]], with two brackets"
    );
    assert_eq!(
        told("[[server]]\nhttp = [\"0.0.0.0:8080\"]\n"),
        "f.toml:1:1: server: expected a table, found a list; write [server], with one bracket"
    );
}

#[test]
fn https_needs_a_certificate() {
    let told = told("tls.certificates = []\n[server]\nhttps = [\"0.0.0.0:8443\"]\n");
    assert_eq!(
        told,
        "f.toml:3:9: https: there is no certificate to serve; add [[tls.certificates]] with name, cert and key"
    );
}

#[test]
fn the_stop_budget_is_shown_as_a_sum() {
    assert_eq!(
        told_beside_listener("drain_delay = \"5s\"\n"),
        "f.toml:3:15: drain_delay 5s + drain_timeout 8s + 1s to finish = 14s, but stop_timeout is 10s; \
         shorten the drain, or set stop_timeout = \"14s\" and give the container as long to stop"
    );
    read(&format!("{LISTEN}drain_delay = \"1s\"\n"));
}

#[test]
fn two_listeners_on_one_address_are_a_mistake() {
    assert_eq!(
        told_beside_listener("[metrics]\nlisten = [\"127.0.0.1:8080\", \"[::1]:9100\"]\n"),
        "f.toml:4:11: listen in [metrics]: 127.0.0.1:8080 cannot be had beside 0.0.0.0:8080 of http in \
         [server], in f.toml:2; use each port of an address once"
    );
    assert_eq!(
        told("[server]\nhttp = [\"[::1]:80\", \"[::1]:80\"]\n"),
        "f.toml:2:21: http in [server]: [::1]:80 is already taken by http in [server], in f.toml:2; \
         use each port of an address once"
    );
    read("[server]\nhttp = [\"0.0.0.0:80\", \"[::]:80\", \"127.0.0.1:81\"]\n");
}

const TWO: &str = "[[upstreams]]\nname = \"app\"\nservers = [\"app-1:3000\"]\n[[upstreams]]\nname = \"api\"\n\
                   servers = [{ address = \"api-1:3000\", weight = 2 }]\n";

fn with_routes(routes: &str) -> String {
    format!("{LISTEN}{TWO}[[vhosts]]\nhosts = [\"example.com\"]\n{routes}")
}

#[test]
fn a_route_does_exactly_one_thing() {
    let told = |route: &str| told(&with_routes(&format!("[[vhosts.routes]]\npath = \"/\"\n{route}")));
    assert_eq!(
        told(""),
        "f.toml:11:1: [[vhosts.routes]] has no upstream; add upstream, the name of an upstream; or static, \
         redirect or respond"
    );
    assert_eq!(
        told("upstream = \"app\"\nstatic = \"s\"\n"),
        "f.toml:14:10: static: a route has one of upstream, static, redirect, respond, this one has upstream too; \
         remove one of them"
    );
    assert_eq!(
        told("upstream = \"appp\"\n"),
        "f.toml:13:12: upstream: there is no upstream named \"appp\"; did you mean \"app\"?"
    );
    assert_eq!(
        told("proxy_pass = \"http://app\"\n"),
        "f.toml:13:1: unknown key \"proxy_pass\" in [[vhosts.routes]]; here it is called \"upstream\""
    );
}

#[test]
fn names_hosts_paths_and_servers_stand_once() {
    let route = "[[vhosts.routes]]\npath = \"/\"\nupstream = \"app\"\n";
    assert_eq!(
        told(&with_routes(&format!("{route}{route}"))),
        "f.toml:15:8: path: \"/\" has a route already, in f.toml:12; keep one of them, or tell them apart by \
         methods, headers, query or client_certificate"
    );
    assert_eq!(
        told(&with_routes(&format!("{route}[[vhosts]]\nhosts = [\"*\", \"EXAMPLE.com\"]\n{route}"))),
        "f.toml:15:15: hosts: \"example.com\" is already answered for, in f.toml:10; name each host in one vhost"
    );
    assert_eq!(
        told_beside_listener("[[upstreams]]\nname = \"a\"\nservers = [\"a:1\", { address = \"A:1\" }]\n"),
        "f.toml:5:19: servers: this server is already listed, in f.toml:5; list it once and set weight"
    );
    assert_eq!(
        told(&format!("{LISTEN}{TWO}{TWO}").replace("api", "app")).lines().count(),
        3,
        "three of four names are repeated"
    );
}

#[test]
fn references_work_across_files_and_paths_are_relative_to_their_own() {
    let files = [
        source(
            "/etc/a/10.toml",
            "[server]\nhttp = [\"0.0.0.0:80\"]\n[[vhosts]]\nhosts = [\"*\"]\ncertificate = \"c\"\nroutes = [{ path = \"/\", upstream = \"u\" }]\n",
        ),
        source(
            "/etc/b/20.toml",
            "[server]\nthreads = 2\n[[tls.certificates]]\nname = \"c\"\ncert = \"c.pem\"\nkey = \"/k/c.key\"\n[[upstreams]]\nname = \"u\"\nservers = [\"u:1\"]\n",
        ),
    ];
    let config = parse(&files).unwrap();
    assert_eq!(config.tls.certificates[0].cert.to_str(), Some("/etc/b/c.pem"));
    assert_eq!(config.tls.certificates[0].key.to_str(), Some("/k/c.key"));
    assert_eq!(config.vhosts[0].certificate, VhostCertificate::Own(vec![0]));
}

#[test]
fn one_key_set_in_two_files_names_both_places() {
    let files = [source("10.toml", LISTEN), source("20.toml", "\n[server]\nhttp = []\n")];
    assert_eq!(
        parse(&files).unwrap_err().to_string(),
        "20.toml:3:1: http in [server] is set twice: already in 10.toml:2; keep one of them"
    );
}

#[test]
fn the_name_acme_is_reserved() {
    let text = "[[tls.certificates]]\nname = \"acme\"\ncert = \"c\"\nkey = \"k\"\n[[vhosts]]\nhosts = [\"*\"]\n\
                certificate = [\"acme\", \"a\"]\nroutes = [{ path = \"/\", static = \"s\" }]\n";
    assert_eq!(
        told_beside_listener(text),
        "f.toml:4:8: name: the name \"acme\" is reserved; choose another name\n\
         f.toml:9:16: certificate: \"acme\" stands beside others; write certificate = \"acme\" alone"
    );
}

#[test]
fn a_vhost_names_each_of_its_certificates_once() {
    let pairs = "[[tls.certificates]]\nname = \"ec\"\ncert = \"c\"\nkey = \"k\"\n";
    let vhost = |names| {
        let vhost = format!("[[vhosts]]\nhosts = [\"*\"]\ncertificate = {names}\n");
        told_beside_listener(&format!("{pairs}{vhost}routes = [{{ path = \"/\", static = \"s\" }}]\n"))
    };
    assert_eq!(
        vhost("[]"),
        "f.toml:9:15: certificate: the list is empty; remove it to serve whichever certificate fits the name"
    );
    assert_eq!(
        vhost("[\"ec\", \"rs\", \"ec\"]"),
        "f.toml:9:22: certificate: there is no certificate named \"rs\"; known are ec\n\
         f.toml:9:28: certificate: \"ec\" stands here twice; keep one of them"
    );
    assert_eq!(
        vhost("1"),
        "f.toml:9:15: certificate: expected the name of a certificate, found the integer 1; write \"1\""
    );
}

#[test]
fn what_a_profile_has_not_is_not_asked_for() {
    assert_eq!(
        told_beside_listener(
            "[tls]\nprofile = \"modern\"\nmin_version = \"1.2\"\n[tls.session_tickets]\nrotation = \"8d\"\n"
        ),
        "f.toml:5:15: min_version: \"1.2\" is below what profile = \"modern\" speaks; remove it, or choose \
         profile = \"intermediate\"\n\
         f.toml:7:12: rotation: \"8d\" is out of range; choose 1m to 7d"
    );
    assert_eq!(
        told_beside_listener("[limits]\nhandshake_rate = { per = \"1ms\" }\n"),
        "f.toml:4:18: handshake_rate has no handshakes; add handshakes, how many are allowed in the time of per\n\
         f.toml:4:26: per: \"1ms\" is out of range; choose 1s to 1d"
    );
}

#[test]
fn columns_count_characters_behind_bom_and_wide_text() {
    assert_eq!(
        told("\u{feff}x = 1\r\nserver = { \"ü\" = 1, http = [\"0.0.0.0:80\"] }\r\n"),
        "f.toml:1:1: unknown key \"x\" in the file; known keys are server, hardening, storage, tls, acme, upstreams, \
         vhosts, defaults, limits, logging, tracing, metrics, admin\n\
         f.toml:2:12: unknown key \"ü\" in [server]; known keys are http, https, trusted_proxies, zone, threads, \
         drain_delay, drain_timeout, stop_timeout"
    );
}

#[test]
fn weaker_levels_than_the_profile_are_the_operators_word() {
    let config = read(&format!("{LISTEN}[hardening]\nprofile = \"strict\"\nstorage = \"off\"\n"));
    assert_eq!(config.hardening.level(Control::Storage), Level::Off);
    assert_eq!(
        told_beside_listener("[hardening]\nstorage = \"require\"\n"),
        "f.toml:4:11: storage: unknown word \"require\"; did you mean \"required\"? known are off, observe, \
         best_effort, required"
    );
}

/// What is told of an upstream with these keys and this TLS table.
fn told_of_upstream(keys: &str, tls: &str) -> String {
    let servers = if keys.contains("servers") { "" } else { "servers = [\"a:1\"]\n" };
    told_beside_listener(&format!("[[upstreams]]\nname = \"app\"\n{servers}{keys}\n{tls}\n"))
}

#[test]
fn an_upstream_s_protocol_goes_with_what_it_is_spoken_over() {
    for (keys, tls, said) in [
        ("protocol = \"h2\"", "", "h2 is HTTP/2 over TLS; add tls = {}, or without TLS write \"h2c\""),
        ("protocol = \"auto\"", "", "without TLS nothing tells what the server speaks"),
        ("protocol = \"h2c\"", "tls = {}", "h2c is HTTP/2 without TLS; over TLS it is \"h2\""),
        ("protocol = \"http2\"", "", "unknown word \"http2\""),
        ("proxy_protocol = \"v3\"", "", "unknown word \"v3\""),
    ] {
        let told = told_of_upstream(keys, tls);
        assert!(told.contains(said) && told.lines().count() == 1, "{keys}: {told}");
    }
}

#[test]
fn an_upstream_s_tls_leaves_no_doubt_whom_to_believe() {
    for (keys, tls, said) in [
        ("servers = [\"a:1\", \"b:1\"]", "tls = {}", "the servers have several hosts"),
        ("servers = [\"a:1\", \"10.0.0.1:1\"]", "tls = {}", "set server_name to a name"),
        ("servers = [\"srv:_http._tcp.a.test\"]", "tls = {}", "set server_name to a name"),
        (
            "servers = [{ address = \"srv:_http._tcp.a.test\", weight = 2 }]",
            "",
            "the records of a service have weights of their own",
        ),
        ("", "tls = { cert = \"c\" }", "has no key; add key"),
        ("", "tls = { key = \"k\" }", "has no cert; add cert"),
        ("", "tls = { ca = \"c\", insecure_skip_verify = true }", "remove insecure_skip_verify, or ca"),
        ("", "tls = { server_name = \"a:443\" }", "server_name"),
        ("", "tls = { verify = false }", "here it is called \"insecure_skip_verify\""),
    ] {
        let told = told_of_upstream(keys, tls);
        assert!(told.contains(said) && told.lines().count() == 1, "{tls}: {told}");
    }
    for fine in
        ["servers = [\"a:1\", \"a:2\"]\ntls = {}", "servers = [\"10.0.0.1:1\", \"[::1]:1\"]\ntls = {}"]
    {
        read(&format!("{LISTEN}[[upstreams]]\nname = \"app\"\n{fine}\n"));
    }
}

#[test]
fn a_listener_with_proxy_headers_needs_somebody_to_send_them() {
    let listener = "[server]\nhttp = [{ address = \"127.0.0.1:80\", proxy_protocol = true }]\n";
    let none = told(listener);
    assert!(none.contains("127.0.0.1:80 would refuse every connection; name in trusted_proxies"), "{none}");
    read(&format!("{listener}trusted_proxies = [\"10.0.0.0/8\"]\n"));
    let secure = "[server]\nhttps = [{ address = \"127.0.0.1:80\", h2c = true }]\n[[tls.certificates]]\n\
                  name = \"a\"\ncert = \"c\"\nkey = \"k\"\n";
    assert!(told(secure).contains("h2c: h2c is HTTP/2 without TLS, and this listener has TLS"));
}

#[test]
fn what_a_profile_makes_impossible_names_the_way_out() {
    let text = "[hardening]\nprofile = \"k8s-restricted\"\nmemory_lock = \"required\"\n";
    let told = told_beside_listener(text);
    assert!(told.starts_with("f.toml:5:15: memory_lock: \"required\" can't hold under profile"), "{told}");
    assert!(told.contains("no_swap = \"required\"") && told.contains("profile = \"container\""), "{told}");
    let secure = told_beside_listener(&text.replace("memory_lock", "securebits"));
    assert!(secure.contains("no_new_privs and capabilities"), "{secure}");
    let root = told_beside_listener("[hardening]\nprofile = \"docker-root\"\nidentity = \"observe\"\n");
    assert!(root.contains("keep uid 0") && root.contains("profile = \"container\""), "{root}");
}

#[test]
fn a_profile_named_outside_the_files_replaces_theirs() {
    let text = format!("{LISTEN}[hardening]\nprofile = \"container\"\nmemory_lock = \"required\"\n");
    let under = |profile| parse_under(&[source("f.toml", &text)], Some(profile));
    assert_eq!(under(Profile::Strict).unwrap().hardening.profile, Profile::Strict);
    let told = under(Profile::K8sRestricted).unwrap_err().to_string();
    assert!(told.contains("k8s-restricted"), "{told}");
}

#[test]
fn seccomp_and_landlock_need_no_new_privs() {
    let off = "[hardening]\nno_new_privs = \"off\"\n";
    let told = told_beside_listener(off);
    assert!(
        told.starts_with("f.toml:4:16: no_new_privs: \"off\" can't go with seccomp and landlock"),
        "{told}"
    );
    let config = read(&format!("{LISTEN}{off}seccomp = \"observe\"\nlandlock = \"off\"\n"));
    assert!(!config.hardening.applies(Control::Seccomp));
}

#[test]
fn no_more_than_a_hundred_mistakes_are_told() {
    let text: String = (0..250).map(|i| format!("k{i} = 1\n")).collect();
    let mistakes = parse(&[source("f.toml", &text)]).unwrap_err();
    assert_eq!((mistakes.iter().count(), mistakes.omitted()), (100, 150));
    assert!(mistakes.to_string().ends_with("\nand 150 more"));
}

#[test]
fn policies_are_told_what_can_not_be_meant() {
    let defaults = |text: &str| told_beside_listener(&format!("[defaults]\n{text}\n"));
    assert_eq!(
        defaults("access = { allow = [\"10.0.0.1\"], deny = [\"10.0.0.0/8\"] }"),
        "f.toml:4:21: allow: \"10.0.0.1/32\" is denied too, and so never comes in; remove it here or from deny"
    );
    assert_eq!(
        defaults("access = {}\nsecurity_headers = \"strickt\"\ncors = \"on\""),
        "f.toml:4:10: access names no network; fill allow or deny, or write access = \"off\"\n\
         f.toml:5:20: security_headers: unknown word \"strickt\"; did you mean \"strict\"? known are off, basic, \
         strict\n\
         f.toml:6:8: cors: expected a table, or \"off\", found the string \"on\""
    );
    assert_eq!(
        defaults("cors = { origins = [\"*\"], credentials = true, methods = [\"get\"] }"),
        "f.toml:4:21: origins: \"*\" can't go with credentials = true; name each one, or leave credentials out\n\
         f.toml:4:58: methods: \"get\" is not a method; methods have their case: write \"GET\""
    );
    assert_eq!(
        defaults("security_headers = { csp = \"a\" }"),
        "f.toml:4:22: unknown key \"csp\" in security_headers; here it is called \"content_security_policy\""
    );
}

#[test]
fn a_route_inherits_policies_and_may_do_without() {
    let config = read(&format!(
        "{LISTEN}{TWO}[defaults]\nsecurity_headers = \"basic\"\n[[vhosts]]\nhosts = [\"*\"]\n\
         access = {{ allow = [\"10.0.0.0/8\"] }}\n\
         routes = [{{ path = \"/\", upstream = \"app\" }}, {{ path = \"/open\", upstream = \"app\", access = \"off\" }}]\n"
    ));
    let [first, open] = &config.vhosts[0].routes[..] else { panic!("{config:?}") };
    assert!(first.policy.access.is_some() && open.policy.access.is_none());
    assert!([first, open].iter().all(|route| route.policy.security_headers.is_some()));
    assert!(config.defaults.access.is_none());
}

#[test]
fn tokens_leave_nothing_to_chance() {
    let jwt = |text: &str| told(&format!("{LISTEN}{TWO}[defaults]\njwt = {{ {text} }}\n"));
    let rest = "issuer = \"i\", audience = \"a\"";
    assert_eq!(
        jwt("jwks_file = \"k\""),
        "f.toml:10:7: jwt has no issuer; add issuer, the iss of its tokens\n\
         f.toml:10:7: jwt has no audience; add audience, the aud of its tokens, or \"any\""
    );
    assert_eq!(
        jwt(rest),
        "f.toml:10:7: jwt has no jwks_file; add jwks_file, the path of a JWK Set; or jwks, the upstream that serves one"
    );
    assert_eq!(
        jwt(&format!("{rest}, jwks = {{ upstream = \"idp\", path = \"keys\", refresh = \"1s\" }}")),
        "f.toml:10:59: upstream: there is no upstream named \"idp\"; known are api, app\n\
         f.toml:10:73: path: \"keys\" does not start with /; write path and query, such as \"/check?x=1\"\n\
         f.toml:10:91: refresh: \"1s\" is out of range; choose 10s to 1d"
    );
    let file = format!("{rest}, jwks_file = \"k\"");
    for (text, said) in [
        ("algorithms = [\"none\"]", "tokens that nobody signed"),
        ("algorithms = [\"HS256\"]", "its key could also sign"),
        ("algorithms = []", "the list is empty"),
        ("leeway = \"10m\"", "keeps expired tokens alive"),
        ("source = \"query:token\"", "is no place for a token"),
        ("forward = { sub = \"host\" }", "is Fluxheim's own"),
        ("forward = { a = \"x-user\", b = \"X-User\" }", "already has the claim"),
        ("claims = { role = [] }", "met by no token"),
        ("jwks = { upstream = \"app\", path = \"/k\" }", "here both are set"),
        ("jwks_uri = \"https://idp/keys\"", "here it is called \"jwks\""),
    ] {
        let told = jwt(&format!("{file}, {text}"));
        assert!(told.contains(said), "{text}: {told}");
    }
    assert!(
        jwt("jwks_file = \"k\", issuer = \"\", audience = [\"any\", \"a\"]").contains("can't go with others")
    );
    let both = told_beside_listener(&format!(
        "[defaults]\nbasic_auth = {{ users_file = \"u\" }}\njwt = {{ {file} }}\n"
    ));
    assert!(both.contains("both be read from Authorization"), "{both}");
}

#[test]
fn a_kept_permit_is_bound_to_what_names_the_user() {
    let forward = |text: &str| {
        told(&format!(
            "{LISTEN}{TWO}[defaults]\nforward_auth = {{ upstream = \"app\", path = \"/v\", {text} }}\n"
        ))
    };
    for (text, said) in [
        ("cache = { ttl = \"10s\" }", "cache of forward_auth has no by; add by, what a permit is bound to"),
        ("cache = { ttl = \"10s\", by = [\"host\"] }", "nothing of it tells one user from another"),
        ("cache = { ttl = \"10s\", by = [\"header:x-key\"] }", "add a field of request_headers"),
        ("cache = { ttl = \"2h\", by = [\"header:cookie\"] }", "too long to shut somebody out"),
        ("cache = { ttl = \"10s\", by = [\"header:cookie\", \"ip\"] }", "unknown word \"ip\""),
        ("request_headers = [\"host\"]", "is Fluxheim's own"),
        ("response_headers = [\"Remote_User\"]", "many applications read it as the same field"),
        ("copy_headers = [\"Remote-User\"]", "here it is called \"response_headers\""),
    ] {
        let told = forward(text);
        assert!(told.contains(said), "{text}: {told}");
    }
}

fn told_of_choosing(keys: &str) -> String {
    told_beside_listener(&format!("[[upstreams]]\nname = \"app\"\nservers = [\"a:1\", \"b:1\"]\n{keys}\n"))
}

#[test]
fn what_does_not_go_together_in_an_upstream_is_told() {
    for (keys, said) in [
        (
            "balance = \"p2c\"\nhash = { by = \"uri\" }",
            "balance: hash is set, which goes with balance = \"hash\" alone",
        ),
        ("hash = {}", "hash of [[upstreams]] has no by"),
        ("balance = \"ip_hash\"", "write hash = { by = \"client_ip\" }"),
        ("queue = { size = 5 }", "queue: nothing would ever wait"),
        ("max_in_flight = 1\nqueue = {}", "queue of [[upstreams]] has no size"),
        (
            "health = { path = \"/\", tcp = true }",
            "a check is one of path, tcp and grpc, this one is path and tcp",
        ),
        ("health = {}", "health of [[upstreams]] has no path"),
        ("health = { tcp = false }", "tcp: false leaves no check at all"),
        ("health = { tcp = true, expect_status = [\"200\"] }", "expect_status: means nothing beside tcp"),
        (
            "health = { path = \"/\", interval = \"1s\", timeout = \"2s\" }",
            "timeout: a check may take longer",
        ),
        ("health = { path = \"/\", rise = 3 }", "here it is called \"healthy_after\""),
        ("outlier = { consecutive_failures = 0 }", "so nothing is ever ejected"),
        ("outlier = { base_ejection = \"10m\", max_ejection = \"1m\" }", "shorter than the first one"),
        ("sticky = { cookie = \"a\" }", "sticky of [[upstreams]] has no secret_file"),
        (
            "sticky = { cookie = \"a\", secret_file = \"s\", secure = false, same_site = \"none\" }",
            "browsers drop a cookie",
        ),
        ("retry = { on = [\"conect\"] }", "did you mean \"connect\"?"),
        ("retry = 3", "retry: expected a table"),
    ] {
        let told = told_of_choosing(keys);
        assert!(told.contains(said) && told.lines().count() == 1, "{keys}:\n{told}");
    }
}

#[test]
fn a_short_interval_shortens_the_timeout_that_is_not_set() {
    let text =
        "[[upstreams]]\nname = \"app\"\nservers = [\"a:1\"]\nhealth = { tcp = true, interval = \"1s\" }\n";
    let config = read(&format!("{LISTEN}{text}"));
    assert_eq!(config.upstreams[0].health.as_ref().unwrap().timeout.as_secs(), 1);
}

#[test]
fn the_key_of_a_sticky_cookie_is_a_secret_beside_its_file() {
    let text = "[[upstreams]]\nname = \"app\"\nservers = [\"a:1\"]\nsticky = { cookie = \"c\", secret_file = \"k\" }\n";
    let config = parse(&[source("/etc/f/f.toml", &format!("{LISTEN}{text}"))]).unwrap();
    assert!(config.has_secrets());
    assert_eq!(config.upstreams[0].sticky.as_ref().unwrap().secret_file.to_str(), Some("/etc/f/k"));
}

const MUTUAL: &str = "[server]\nhttps = [\"0.0.0.0:8443\"]\n[[tls.certificates]]\nname = \"a\"\ncert = \"c\"\n\
    key = \"k\"\n[[vhosts]]\nhosts = [\"a.test\"]\n";

/// A vhost with `routes` and `client_auth`, the latter on line 10.
fn told_of_client_auth(client_auth: &str, route: &str) -> String {
    told(&format!(
        "{MUTUAL}routes = [{{ path = \"/\", respond = {{ status = 204 }}{route} }}]\nclient_auth = {client_auth}\n"
    ))
}

#[test]
fn client_auth_says_whose_certificates_it_believes() {
    assert_eq!(
        told_of_client_auth("{ mode = \"required\" }", ""),
        "f.toml:10:15: [vhosts.client_auth] has no ca; add ca, the path of a PEM file with the CAs that vouch for clients"
    );
    assert_eq!(
        told_of_client_auth("{ ca = \"c\" }", ""),
        "f.toml:10:15: [vhosts.client_auth] has no mode; add mode, \"off\", \"optional\" or \"required\""
    );
    assert_eq!(
        told_of_client_auth("{ mode = \"optional\", ca = \"c\", allow_san = [] }", ""),
        "f.toml:10:58: allow_san: the list is empty; leave it out to ask for none"
    );
    assert_eq!(
        told_of_client_auth("{ mode = \"optional\", ca = \"c\", on_expired_crl = \"allow\" }", ""),
        "f.toml:10:63: on_expired_crl: there is no revocation list it could hold for; add crl, or remove it"
    );
    assert_eq!(
        told_of_client_auth("{ mode = \"on\", ca = \"c\" }", ""),
        "f.toml:10:24: mode: unknown word \"on\"; known are off, optional, required"
    );
}

#[test]
fn certificates_are_looked_for_only_where_they_are_asked_for() {
    assert_eq!(
        told_of_client_auth("{ mode = \"off\" }", ", client_certificate = \"present\""),
        "f.toml:9:74: client_certificate: its vhost asks no client for a certificate; add [vhosts.client_auth], or \
         remove it"
    );
    let text = "[[vhosts]]\nhosts = [\"a\"]\nroutes = [{ path = \"/\", static = \"/s\" }]\n\
                client_auth = { mode = \"required\", ca = \"c\" }\n";
    assert_eq!(
        told_beside_listener(text),
        "f.toml:3:1: client_auth asks for certificates that nobody can show: nothing listens with TLS; add https to \
         [server]; what a proxy in front says of a certificate is not believed"
    );
}

#[test]
fn identities_go_under_names_that_mean_nothing_else() {
    let told = |identity: &str| told_beside_listener(&format!("[defaults]\nclient_identity = {identity}\n"));
    assert_eq!(
        told("{ headers = [\"client-cert-chain\"] }"),
        "f.toml:4:31: headers: client-cert-chain never goes without client-cert (RFC 9440 section 2.3); add \
         \"client-cert\""
    );
    assert_eq!(
        told("{ subject_header = \"Client-Cert\" }"),
        "f.toml:4:38: subject_header: \"Client-Cert\" has a meaning of its own; name another field"
    );
    assert_eq!(
        told("{ subject_header = \"x-a\", san_header = \"X-A\" }"),
        "f.toml:4:58: san_header: \"x-a\" is subject_header already; give each a field of its own"
    );
    assert_eq!(
        told("{}"),
        "f.toml:4:19: client_identity tells nothing; add headers = [\"client-cert\"], or write \"off\""
    );
    assert_eq!(
        told("{ headers = [\"client-cert\"], key_id = \"k\" }"),
        "f.toml:4:57: key_id: there is no key that it could be the name of; add sign_key_file, or remove it"
    );
}

#[test]
fn the_admin_socket_is_a_path() {
    for address in ["127.0.0.1:9000", "http://localhost:9000/"] {
        assert_eq!(
            told(&format!("[server]\nhttp = [\"127.0.0.1:0\"]\n[admin]\nsocket = \"{address}\"\n")),
            format!(
                "f.toml:4:10: socket: \"{address}\" is no path, and nothing else is listened on here; write the \
                 path of a socket: \"/run/fluxheim/admin.sock\""
            )
        );
    }
}

#[test]
fn a_table_that_stands_twice_is_one_of_a_list_or_one_too_many() {
    let route = "routes = [{ path = \"/\", static = \"s\" }]\n";
    let twice = format!("[vhosts]\nhosts = [\"a\"]\n{route}[vhosts]\nhosts = [\"b\"]\n{route}");
    assert_eq!(
        told_beside_listener(&twice),
        "f.toml:6:2: \"[vhosts]\" is here for the second time; write [[vhosts]], with two brackets, above each of them"
    );
    assert_eq!(
        told(&format!("{LISTEN}[logging]\nlevel = \"info\"\n[logging]\naccess = true\n")),
        "f.toml:5:2: \"[logging]\" is here for the second time; put its keys under the first one"
    );
    let nested = "[[tls.certificates]]\nname = \"a\"\ncert = \"c\"\nkey = \"k\"\n[acme.issuers]\nname = \"a\"\n[acme.issuers]\n";
    assert!(told_beside_listener(nested).contains("write [[acme.issuers]], with two brackets, above each"));
}

#[test]
fn versions_of_tls_are_numbers_here() {
    let version = |text: &str| told_beside_listener(&format!("[tls]\nmin_version = \"{text}\"\n"));
    for other in ["TLSv1.2", "tls1.2", "TLS 1.2", "TLSv1_2", "VersionTLS1.2", "v1.2"] {
        assert_eq!(
            version(other),
            format!("f.toml:4:15: min_version: \"{other}\" is written without TLS; write \"1.2\"")
        );
    }
    assert!(version("TLSv1.3").ends_with("write \"1.3\""));
    for old in ["TLSv1", "TLSv1.1", "SSLv3", "SSLv2", "1.0", "1.1"] {
        assert!(
            version(old).contains("is not spoken any more (RFC 8996); write \"1.2\" or \"1.3\""),
            "{old}"
        );
    }
    assert!(version("1.4").contains("unknown word"), "{}", version("1.4"));
    let upstream = "[[upstreams]]\nname = \"u\"\nservers = [\"a:1\"]\ntls = { min_version = \"TLSv1.3\" }\n";
    assert!(told_beside_listener(upstream).contains("write \"1.3\""));
}

#[test]
fn subjects_are_not_what_certificates_are_told_apart_by() {
    let allow = |name: &str| {
        told(&format!(
            "[server]\nhttps = [\"0.0.0.0:443\"]\n[[tls.certificates]]\nname = \"a\"\ncert = \"c\"\nkey = \"k\"\n\
             [[vhosts]]\nhosts = [\"a\"]\nclient_auth = {{ mode = \"required\", ca = \"c\", allow_san = [\"{name}\"] }}\n\
             routes = [{{ path = \"/\", static = \"s\" }}]\n"
        ))
    };
    assert_eq!(
        allow("CN=bob"),
        "f.toml:9:59: allow_san: \"CN=bob\" is of a subject, and subjects are not compared; write a subject \
         alternative name of the certificate, such as \"bob.example.com\", or compare fingerprints"
    );
    assert!(allow("cn=bob.example,O=Example").contains(
        "write \"bob.example\", if the certificate has it as a subject alternative name, or compare fingerprints"
    ));
}

#[test]
fn of_certificates_that_nobody_is_asked_for_nothing_is_told() {
    let with = |vhost: &str, route: &str, rest: &str| {
        format!(
            "[server]\nhttps = [\"0.0.0.0:443\"]\n[[tls.certificates]]\nname = \"a\"\ncert = \"c\"\nkey = \"k\"\n\
             [[vhosts]]\nhosts = [\"a\"]\n{vhost}routes = [{{ path = \"/\", static = \"s\"{route} }}]\n{rest}"
        )
    };
    let tells = "client_identity = { headers = [\"client-cert\"] }";
    let said = "client_identity: its vhost asks no client for a certificate, so there is nothing to tell; add \
                [vhosts.client_auth], or remove client_identity";
    assert_eq!(told(&with(&format!("{tells}\n"), "", "")), format!("f.toml:9:19: {said}"));
    assert_eq!(told(&with("", &format!(", {tells}"), "")), format!("f.toml:9:57: {said}"));
    let off = format!("client_auth = {{ mode = \"off\" }}\n{tells}\n");
    assert!(told(&with(&off, "", "")).contains(said));
    let defaults = format!("[defaults]\n{tells}\n");
    assert_eq!(
        told(&with("", "", &defaults)),
        "f.toml:10:1: client_identity: no vhost asks its clients for a certificate, so there is nothing to tell; add \
         client_auth to the [[vhosts]] that shall ask, or remove client_identity"
    );
    // Where one asks, the others may have it from [defaults]; and a signature tells where a request comes from.
    let asks = "[[vhosts]]\nhosts = [\"b\"]\nclient_auth = { mode = \"optional\", ca = \"c\" }\n\
                routes = [{ path = \"/\", static = \"s\" }]\n";
    let config = read(&with("", "", &format!("{asks}{defaults}")));
    assert_eq!(read(&config.to_toml()), config);
    let signed = tells.replace(" }", ", sign_key_file = \"k\" }\n");
    read(&with(&signed, "", ""));
    // A client_auth that is flawed may be meant to ask.
    let flawed = format!("client_auth = {{ mode = \"sometimes\" }}\n{tells}\n");
    assert!(!told(&with(&flawed, "", "")).contains("nothing to tell"));
}
