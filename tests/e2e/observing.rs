//! What an operator sees: metrics, probes, access log.

use std::process::Command;

use crate::support::{Flux, request};

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
    let line = flux.access_line("/?q=%22");
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
