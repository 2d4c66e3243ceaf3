//! Spans, as a collector gets them.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::support::{Flux, Scripted, exchange, request, wait};

/// A collector that takes traces by OTLP over HTTP and refuses whatever is not well-formed.
struct Collector {
    address: SocketAddr,
    spans: Arc<Mutex<Vec<Value>>>,
    flaws: Arc<Mutex<Vec<String>>>,
}

impl Collector {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (spans, flaws) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(Vec::new())));
        let (kept, found) = (Arc::clone(&spans), Arc::clone(&flaws));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (kept, found) = (Arc::clone(&kept), Arc::clone(&found));
                std::thread::spawn(move || take(stream, &kept, &found));
            }
        });
        Self { address, spans, flaws }
    }

    /// All spans once there are that many.
    fn spans(&self, count: usize) -> Vec<Value> {
        let all = || Some(self.spans.lock().unwrap().clone()).filter(|spans| spans.len() >= count);
        let spans = wait(all).unwrap_or_else(|| panic!("{:?} {:?}", self.spans.lock(), self.flaws.lock()));
        assert!(self.flaws.lock().unwrap().is_empty(), "{:?}", self.flaws.lock());
        spans
    }
}

fn take(mut stream: TcpStream, kept: &Mutex<Vec<Value>>, flaws: &Mutex<Vec<String>>) {
    let (mut seen, mut buffer) = (Vec::new(), [0; 65536]);
    while let Ok(read @ 1..) = stream.read(&mut buffer) {
        seen.extend_from_slice(&buffer[..read]);
        let Some(end) = seen.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&seen[..end]).to_ascii_lowercase();
        let length: usize =
            head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap();
        if seen.len() < end + 4 + length {
            continue;
        }
        let judged = judge(&head, &seen[end + 4..end + 4 + length]);
        seen.drain(..end + 4 + length);
        let status = match judged {
            Ok(mut spans) => {
                kept.lock().unwrap().append(&mut spans);
                "200 OK"
            }
            Err(flaw) => {
                flaws.lock().unwrap().push(flaw);
                "400 Bad Request"
            }
        };
        let _ = write!(
            stream,
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}"
        );
    }
}

/// The rules of OTLP's JSON form.
fn judge(head: &str, body: &[u8]) -> Result<Vec<Value>, String> {
    let must = |holds: bool, what: &str| holds.then_some(()).ok_or_else(|| what.to_owned());
    must(head.starts_with("post /v1/traces http/1.1"), head)?;
    must(head.contains("content-type: application/json"), head)?;
    let body: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let mut all = Vec::new();
    for resource in body["resourceSpans"].as_array().ok_or("no resourceSpans")? {
        must(attribute(&resource["resource"], "service.name").is_some(), "no service.name")?;
        for scope in resource["scopeSpans"].as_array().ok_or("no scopeSpans")? {
            for span in scope["spans"].as_array().ok_or("no spans")? {
                let hex = |key: &str, digits: usize| {
                    span[key].as_str().is_some_and(|id| {
                        id.len() == digits
                            && id.bytes().all(|byte| byte.is_ascii_hexdigit())
                            && !id.bytes().all(|byte| byte == b'0')
                    })
                };
                must(hex("traceId", 32) && hex("spanId", 16), &format!("ids of {span}"))?;
                must(span["parentSpanId"] == "" || hex("parentSpanId", 16), &format!("parent of {span}"))?;
                let nanos = |key: &str| span[key].as_str().and_then(|text| text.parse::<u128>().ok());
                must(nanos("startTimeUnixNano") <= nanos("endTimeUnixNano"), &format!("times of {span}"))?;
                must(
                    nanos("startTimeUnixNano") > Some(1_700_000_000_000_000_000),
                    &format!("start of {span}"),
                )?;
                must([2, 3].map(Value::from).contains(&span["kind"]), &format!("kind of {span}"))?;
                must(!span["name"].as_str().unwrap_or_default().is_empty(), &format!("name of {span}"))?;
                must(attribute(span, "http.request.method").is_some(), &format!("method of {span}"))?;
                all.push(span.clone());
            }
        }
    }
    Ok(all)
}

fn attribute<'a>(of: &'a Value, key: &str) -> Option<&'a str> {
    let value = &of["attributes"].as_array()?.iter().find(|item| item["key"] == key)?["value"];
    value["stringValue"].as_str().or_else(|| value["intValue"].as_str())
}

fn flux(origin: SocketAddr, collector: SocketAddr, tracing: &str) -> Flux {
    Flux::server(
        "http = [\"127.0.0.1:0\"]\ntrusted_proxies = [\"127.0.0.0/8\"]",
        &format!(
            "[[upstreams]]\nname = \"app\"\nservers = [\"{origin}\"]\n[[upstreams]]\nname = \"collector\"\n\
             servers = [\"{collector}\"]\n[tracing]\notlp = {{ upstream = \"collector\", interval = \"100ms\" }}\n\
             {tracing}\n[[vhosts]]\nhosts = [\"a.test\"]\n[[vhosts.routes]]\npath = \"/\"\nupstream = \"app\"\n"
        ),
    )
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

fn traced(flux: &crate::support::Running, target: &str, flags: &str) {
    let parent = format!("traceparent: 00-{TRACE}-00f067aa0ba902b7-{flags}\r\nUser-Agent: tester\r\n");
    exchange(
        flux.http(),
        &format!("GET {target} HTTP/1.1\r\nHost: a.test\r\n{parent}Connection: close\r\n\r\n"),
    );
}

#[test]
fn a_request_is_a_server_span_and_a_client_span_below_it() {
    let (origin, collector) = (Scripted::answering(OK), Collector::start());
    let flux = flux(origin.address, collector.address, "").start();
    traced(&flux, "/x?token=s3cret", "01");
    let spans = collector.spans(2);
    let (server, client) = (&spans[0], &spans[1]);
    assert_eq!((&server["traceId"], &server["parentSpanId"]), (&TRACE.into(), &"00f067aa0ba902b7".into()));
    assert_eq!((&server["name"], &server["kind"], &client["kind"]), (&"GET /".into(), &2.into(), &3.into()));
    assert_eq!((&client["traceId"], &client["parentSpanId"]), (&server["traceId"], &server["spanId"]));
    for (key, value) in [
        ("http.response.status_code", "200"),
        ("http.route", "/"),
        ("url.path", "/x"),
        ("url.scheme", "http"),
        ("server.address", "a.test"),
        ("client.address", "127.0.0.1"),
        ("user_agent.original", "tester"),
        ("network.protocol.version", "1.1"),
    ] {
        assert_eq!(attribute(server, key), Some(value), "{key} in {server}");
    }
    assert_eq!(attribute(client, "server.port"), Some(&*origin.address.port().to_string()));
    assert_eq!(attribute(client, "http.response.status_code"), Some("200"));
    // The upstream's parent is the span of asking it, and the log knows the server's.
    let sent = format!("traceparent: 00-{TRACE}-{}-01", client["spanId"].as_str().unwrap());
    assert!(origin.last_head().contains(&sent), "{} has no {sent}", origin.last_head());
    assert_eq!(flux.access_line("/x?token=***")["span_id"], server["spanId"]);
    assert!(!format!("{spans:?}").contains("s3cret"));
    let exported = || {
        let text = String::from_utf8(request(flux.metrics(), "x", "/metrics").body).unwrap();
        text.contains("fluxheim_spans_exported_total 1\n").then_some(())
    };
    wait(exported).expect("not counted");
}

#[test]
fn failures_say_so_and_traces_that_are_not_sampled_stay_home() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let collector = Collector::start();
    let flux = flux(closed, collector.address, "sample_ratio = \"0%\"").start();
    traced(&flux, "/quiet", "00");
    request(flux.http(), "a.test", "/begun-here");
    traced(&flux, "/fails", "01");
    let spans = collector.spans(2);
    assert_eq!(spans.len(), 2, "{spans:?}");
    for span in &spans {
        assert_eq!(attribute(span, "url.path"), Some("/fails"));
        assert_eq!(attribute(span, "error.type"), Some("upstream_connect_refused"), "{span}");
        assert_eq!(span["status"]["code"], 2, "{span}");
    }
}

#[test]
fn a_collector_that_is_gone_costs_spans_and_nothing_else() {
    let origin = Scripted::answering(OK);
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let flux = flux(origin.address, closed, "").start();
    for _ in 0..3 {
        assert_eq!(request(flux.http(), "a.test", "/").status, 200);
    }
    assert_eq!(flux.wait_for("the collector takes no spans")["upstream"], "collector");
    let lost = || {
        let text = String::from_utf8(request(flux.metrics(), "x", "/metrics").body).unwrap();
        text.contains("fluxheim_spans_dropped_total{reason=\"export_failed\"} 3\n").then_some(())
    };
    wait(lost).expect("not counted");
}

#[test]
fn the_last_spans_are_sent_before_the_end() {
    let (origin, collector) = (Scripted::answering(OK), Collector::start());
    let slow = flux(origin.address, collector.address, "");
    let config = slow.write();
    let text = std::fs::read_to_string(&config).unwrap().replace("\"100ms\"", "\"60s\"");
    std::fs::write(&config, text).unwrap();
    let mut flux = slow.start_as(&config, std::process::Command::new(env!("CARGO_BIN_EXE_fluxheim")));
    assert_eq!(request(flux.http(), "a.test", "/").status, 200);
    flux.access_line("/");
    flux.signal(Signal::SIGTERM);
    assert_eq!(collector.spans(2).len(), 2);
    assert_eq!(flux.wait().code(), Some(0));
}
