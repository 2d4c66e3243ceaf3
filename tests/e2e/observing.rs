//! What an operator sees: metrics, probes, access log.

use std::process::Command;

use crate::support::{Flux, Scripted, exchange, request};

const SITE: &str =
    "[[vhosts]]\nhosts = [\"a.test\"]\n[[vhosts.routes]]\npath = \"/\"\nstatic = \"$DIR/site\"\n";

#[test]
fn counts_requests_and_says_it_is_ready() {
    let flux = Flux::with(SITE).file("site/index.html", b"home").start();
    let metrics = flux.metrics();
    assert_eq!(request(metrics, "x", "/livez").status, 200);
    assert_eq!(request(metrics, "x", "/readyz").status, 200);
    assert_eq!(request(metrics, "x", "/other").status, 404);
    request(flux.http(), "a.test", "/");
    request(flux.http(), "b.test", "/");
    flux.access_line("/");
    let text = String::from_utf8(request(metrics, "x", "/metrics").body).unwrap();
    for line in [
        "fluxheim_http_requests_total{vhost=\"a.test\",code=\"200\"} 1",
        "fluxheim_http_requests_total{vhost=\"-\",code=\"421\"} 1",
        "fluxheim_connections_accepted_total{scheme=\"http\"} 2",
        "fluxheim_ready 1",
        "# EOF",
    ] {
        assert!(text.contains(line), "{line} not in\n{text}");
    }
    // Started by hand: nobody has judged it.
    assert!(!text.contains("fluxheim_control") && !text.contains("secrets_off_swap"), "{text}");
}

#[test]
fn logs_each_request_as_one_json_line() {
    let flux = Flux::with(SITE).file("site/index.html", b"home").start();
    let url = format!("http://{}/?q=%22", flux.http());
    let status = Command::new("curl")
        .args(["-s", "-o", "/dev/null", "-A", "tester", "-H", "Host: a.test", &url])
        .status();
    assert!(status.expect("install it with: apt-get install -y curl").success());
    let line = flux.access_line("/?q=***");
    for (field, value) in [
        ("method", "GET"),
        ("host", "a.test"),
        ("vhost", "a.test"),
        ("scheme", "http"),
        ("protocol", "HTTP/1.1"),
        ("user_agent", "tester"),
        ("client_ip", "127.0.0.1"),
    ] {
        assert_eq!(line[field], value, "{line}");
    }
    assert_eq!((line["status"].as_u64(), line["bytes"].as_u64()), (Some(200), Some(4)));
    assert!(line["ts"].as_f64().unwrap() > 1.7e9 && line["duration"].as_f64().unwrap() >= 0.0);
}

#[test]
fn serves_on_when_nobody_reads_what_it_says() {
    use std::io::BufRead;
    let flux = Flux::with(&format!("[logging]\nlevel = \"trace\"\n{SITE}")).file("site/index.html", b"home");
    let config = flux.write();
    let mut child = Command::new(env!("CARGO_BIN_EXE_fluxheim"))
        .args(["--config".as_ref(), config.as_os_str()])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    // Only until the address is known; from then on both pipes fill up.
    let mut lines = std::io::BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    let address = lines
        .by_ref()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(&line).ok())
        .find(|line| line["message"] == "listening")
        .unwrap()["address"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    for _ in 0..1500 {
        assert_eq!(request(address, "a.test", "/").status, 200);
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

const APP: &str = "[[vhosts]]\nhosts = [\"*\"]\n[[vhosts.routes]]\npath = \"/app/\"\nupstream = \"app\"\n\
                   [[vhosts.routes]]\npath = \"/\"\nstatic = \"$DIR/site\"\n";

fn proxied(origin: &Scripted, server: &str, rest: &str) -> Flux {
    let upstream = format!("[[upstreams]]\nname = \"app\"\nservers = [\"{}\"]\n", origin.address);
    Flux::server(&format!("http = [\"127.0.0.1:0\"]\n{server}"), &format!("{upstream}{APP}{rest}"))
        .file("site/index.html", b"home")
}

fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

const OK: &str =
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Request-Id: origins\r\nSet-Cookie: c=s3cret\r\n\r\nok";

#[test]
fn knows_each_request_by_one_id_everywhere() {
    let origin = Scripted::answering(OK);
    let flux = proxied(&origin, "", "").start();
    let sent = "GET /app/x HTTP/1.1\r\nHost: a\r\nX-Request-Id: forged\r\nConnection: close\r\n\r\n";
    let answer = exchange(flux.http(), sent);
    let id = field(&answer.head, "x-request-id").unwrap().to_owned();
    assert_eq!((id.len(), &id[14..15]), (36, "7"), "{id}");
    assert_eq!(field(&origin.last_head(), "x-request-id"), Some(&*id));
    assert_eq!(flux.access_line("/app/x")["request_id"], *id);
    // Own answers, refusals before and after routing.
    for (path, bytes) in [
        ("/", "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
        ("/none", "GET /none HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
        ("/bad%00", "GET /bad%00 HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("/two", "GET /two HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
    ] {
        let answer = exchange(flux.http(), bytes);
        let id = field(&answer.head, "x-request-id").unwrap_or_else(|| panic!("{path}: {}", answer.head));
        assert_eq!(flux.access_line(path)["request_id"], *id, "{path}");
    }
}

#[test]
fn takes_ids_and_traces_from_whom_it_believes() {
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let sent = |path: &str, id: &str| {
        format!(
            "GET /app/{path} HTTP/1.1\r\nHost: a\r\nX-Correlation-Id: {id}\r\ntracestate: a=1, b=2\r\n\
             traceparent: 00-{trace}-00f067aa0ba902b7-01\r\nConnection: close\r\n\r\n"
        )
    };
    let tracing = "[tracing]\nrequest_id = { header = \"X-Correlation-Id\" }\nsample_ratio = \"0%\"\n";
    let origin = Scripted::answering(OK);
    let flux = proxied(&origin, "trusted_proxies = [\"127.0.0.0/8\"]", tracing).start();
    let answer = exchange(flux.http(), &sent("believed", "abc-1"));
    assert_eq!(field(&answer.head, "x-correlation-id"), Some("abc-1"));
    let head = origin.last_head();
    let line = flux.access_line("/app/believed");
    let span = line["span_id"].as_str().unwrap();
    assert_eq!(field(&head, "traceparent").unwrap(), format!("00-{trace}-{span}-01"));
    assert_eq!((field(&head, "tracestate"), span.len()), (Some("a=1,b=2"), 16));
    assert_eq!((&line["trace_id"], &line["request_id"]), (&trace.into(), &"abc-1".into()));
    let answer = exchange(flux.http(), &sent("malformed", "a b\"c"));
    assert_eq!(field(&answer.head, "x-correlation-id").unwrap().len(), 36);

    let stranger = proxied(&origin, "", tracing).start();
    exchange(stranger.http(), &sent("stranger", "abc-1"));
    let (head, line) = (origin.last_head(), stranger.access_line("/app/stranger"));
    let parent = field(&head, "traceparent").unwrap();
    assert!(
        !parent.contains(trace) && parent.ends_with("-00") && field(&head, "tracestate").is_none(),
        "{head}"
    );
    assert_eq!(parent.split('-').nth(1), line["trace_id"].as_str());
    assert_ne!(line["request_id"], "abc-1");
}

#[test]
fn tells_where_the_time_went() {
    let origin = Scripted::answering(OK);
    let flux = proxied(&origin, "", "").start();
    exchange(
        flux.http(),
        "POST /app/t HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nReferer: http://u:s3cret@b/?x=s3cret\r\n\
         Connection: close\r\n\r\nabc",
    );
    let line = flux.access_line("/app/t");
    let seconds = |name: &str| line[name].as_f64().unwrap_or_else(|| panic!("{name} in {line}"));
    assert!(
        seconds("queue") <= seconds("first_byte") && seconds("first_byte") <= seconds("duration"),
        "{line}"
    );
    assert!(seconds("connect") <= seconds("first_byte"), "{line}");
    assert_eq!((&line["route"], &line["attempts"]), (&"/app/".into(), &1.into()), "{line}");
    assert_eq!((&line["bytes"], &line["bytes_received"]), (&2.into(), &3.into()), "{line}");
    assert_eq!(line["referer"], "http://***@b/?x=***");
}

#[test]
fn writes_lines_as_text_with_chosen_fields_and_follows_a_reload() {
    let logging = "[logging]\nformat = \"text\"\nfields = [\"client_ip\", \"method\", \"target\", \"status\", \"host\"]\n\
                   skip_paths = [\"/healthz\"]\n";
    let origin = Scripted::answering(OK);
    let flux = proxied(&origin, "", logging).file("site/healthz", b"ok").start();
    request(flux.http(), "a.test", "/healthz");
    request(flux.http(), "a.test", "/?x=1");
    let line = flux.text_line("/?x");
    assert_eq!(line, "127.0.0.1 - - [-] \"GET /?x=*** -\" 200 - \"-\" \"-\" host=a.test");
    let text = std::fs::read_to_string(&flux.config).unwrap();
    std::fs::write(&flux.config, text.replace("\"text\"", "\"json\"")).unwrap();
    flux.signal(nix::sys::signal::Signal::SIGHUP);
    flux.wait_for("configuration reloaded");
    request(flux.http(), "a.test", "/?y=1");
    assert_eq!(flux.access_line("/?y=***")["host"], "a.test");
    assert!(!flux.said().contains("healthz"), "{}", flux.said());
}

#[test]
fn no_log_shows_a_secret_whatever_its_level() {
    let origin = Scripted::answering(OK);
    let breaks =
        Scripted::answering("HTTP/1.1 200 s3cret\r\nX: s3cret\r\n folded s3cret\r\nbad s3cret\r\n\r\n");
    let upstreams = format!(
        "[logging]\nlevel = \"trace\"\n[[upstreams]]\nname = \"bad\"\nservers = [\"{}\"]\n[[vhosts]]\nhosts = [\"bad\"]\n\
         [[vhosts.routes]]\npath = \"/\"\nupstream = \"bad\"\n",
        breaks.address
    );
    let flux = proxied(&origin, "", &upstreams).start();
    let fields = "Authorization: Bearer s3cret\r\nProxy-Authorization: Basic s3cret\r\nCookie: a=s3cret; b=s3cret\r\n\
                  X-Api-Key: s3cret\r\nReferer: https://u:s3cret@b/p?t=s3cret#s3cret\r\nX-Request-Id: s3cret!\r\n";
    for (target, host, rest) in [
        ("/app/?token=s3cret&s3cret", "a", ""),
        ("/?token=s3cret", "a", ""),
        ("/missing?token=s3cret", "a", ""),
        ("/x%00?token=s3cret", "a", ""),
        ("/?token=s3cret", "bad", ""),
        ("/?token=s3cret", "a\r\nHost: s3cret", ""),
        ("/?token=s3cret", "a", "Content-Length: 1\r\nContent-Length: s3cret\r\n"),
        ("/?token=s3cret", "a", "Bad s3cret: s3cret\r\n"),
        ("http://u:s3cret@a/?token=s3cret", "a", ""),
        ("/app/?token=s3cret", "a", "Content-Length: 99999999\r\n"),
    ] {
        let head =
            format!("POST {target} HTTP/1.1\r\nHost: {host}\r\n{fields}{rest}Connection: close\r\n\r\n");
        exchange(flux.http(), &head);
    }
    request(flux.http(), "a", "/last");
    flux.access_line("/last");
    flux.wait_for("request failed");
    let said = flux.said();
    assert!(said.contains("token=***"), "{said}");
    assert!(!said.contains("s3cret"), "{said}");
}

#[test]
fn shows_native_histograms_to_scrapers_that_read_protobuf_and_the_process_to_all() {
    let flux = Flux::with(SITE).file("site/index.html", b"home").start();
    request(flux.http(), "a.test", "/");
    flux.access_line("/");
    let accept = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,\
                  application/openmetrics-text;version=1.0.0;q=0.5,*/*;q=0.1";
    let scrape = format!("GET /metrics HTTP/1.1\r\nHost: x\r\nAccept: {accept}\r\nConnection: close\r\n\r\n");
    let answer = exchange(flux.metrics(), &scrape);
    assert!(field(&answer.head, "content-type").unwrap().starts_with("application/vnd.google.protobuf"));
    let name = b"fluxheim_http_request_duration_seconds";
    assert!(answer.body.windows(name.len()).any(|part| part == name));
    let text = String::from_utf8(request(flux.metrics(), "x", "/metrics").body).unwrap();
    let value = |name: &str| -> f64 {
        text.lines()
            .find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
            .unwrap_or_else(|| panic!("{name}"))
    };
    assert!(
        value("process_resident_memory_bytes ") > 1e6 && value("process_cpu_seconds_total ") > 0.0,
        "{text}"
    );
    assert!(
        value("process_open_fds ") > 5.0 && value("process_max_fds ") >= value("process_open_fds "),
        "{text}"
    );
    assert!(value("process_start_time_seconds ") > 1.7e9, "{text}");
}

/// The gate refuses it in HTTP/1.1 before there is a request; in HTTP/2 the framework would.
#[test]
fn counts_and_logs_a_connect_over_http_2() {
    use std::io::Write;
    let rest = "[[tls.certificates]]\nname = \"a\"\ncert = \"a.pem\"\nkey = \"a.key\"\n";
    let flux =
        Flux::server("https = [\"127.0.0.1:0\"]", &format!("{rest}{SITE}")).file("site/index.html", b"home");
    crate::support::certificate(flux.dir.path(), "a", &["a.test"]);
    let flux = flux.start();
    let mut client = crate::support::tls(&flux, "a.test", &[b"h2"]);
    // HPACK (RFC 7541 section 6.2.2): :method and :authority by the static table, their values in full.
    let fields = [&[0x02, 7], &b"CONNECT"[..], &[0x01, 10], b"a.test:443"].concat();
    let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    let headers = [&[0, 0, u8::try_from(fields.len()).unwrap(), 1, 5, 0, 0, 0, 1], &fields[..]].concat();
    client.write_all(&[b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &settings[..], &headers].concat()).unwrap();
    let line =
        crate::support::wait(|| flux.said().lines().find(|line| line.contains("CONNECT")).map(str::to_owned));
    let line: serde_json::Value = serde_json::from_str(&line.expect("no line")).unwrap();
    assert_eq!((&line["status"], &line["error"]), (&405.into(), &"method_not_served".into()), "{line}");
    assert_eq!((&line["protocol"], &line["tls_version"]), (&"HTTP/2.0".into(), &"TLSv1.3".into()), "{line}");
    assert!(line["tls_cipher"].as_str().unwrap().contains("AES") && line["request_id"].is_string(), "{line}");
    let metrics = String::from_utf8(request(flux.metrics(), "x", "/metrics").body).unwrap();
    assert!(
        metrics.contains("fluxheim_http_errors_total{vhost=\"-\",reason=\"method_not_served\"} 1\n"),
        "{metrics}"
    );
}
