//! Lines as their readers see them.

use super::*;
use crate::telemetry::lines::tests::Kept;

fn line(target: &str) -> AccessLine<'_> {
    AccessLine {
        ts: 1_795_646_831.5,
        request_id: "r-1",
        client_ip: "192.0.2.1".to_owned(),
        peer_ip: "192.0.2.1".to_owned(),
        scheme: "https",
        protocol: "HTTP/2.0",
        method: "GET",
        host: "a.test",
        target: target.into(),
        path: Some("/b"),
        status: 200,
        bytes: Some(3),
        duration: 0.25,
        vhost: "a.test",
        user_agent: Some("a \"b\" \u{e9}\n".into()),
        ..AccessLine::default()
    }
}

fn written(logging: &Logging, lines: &[AccessLine<'_>]) -> String {
    let out = Kept::default();
    let (log, writer) = Lines::start("test", out.clone()).unwrap();
    let log = AccessLog::to(log);
    for line in lines {
        assert!(log.write(line, &Style::from(logging)));
    }
    writer.finish();
    String::from_utf8(out.0.lock().unwrap().clone()).unwrap()
}

#[test]
fn writes_each_line_as_json_with_hostile_bytes_escaped() {
    let text = written(&Logging::default(), &[line("/a\"\n{}"), line("/b?token=s3cret")]);
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0]["target"], "/a\"\n{}");
    assert_eq!((&lines[0]["status"], &lines[0]["request_id"]), (&200.into(), &"r-1".into()));
    assert!(lines[0].get("error").is_none());
    assert_eq!(lines[1]["target"], "/b?token=***");
}

#[test]
fn writes_the_combined_format_and_the_rest_behind_it() {
    let fields = LogFields::ALL.without([LogField::PeerIp, LogField::Scheme].into_iter().collect());
    let logging = Logging { format: LogFormat::Text, fields, ..Logging::default() };
    let failed = AccessLine {
        error: Some("upstream_reset"),
        error_detail: Some("the server reset the connection"),
        ..line("/a?x=\"y")
    };
    assert_eq!(
        written(&logging, &[failed]),
        "192.0.2.1 - - [25/Nov/2026:22:47:11 +0000] \"GET /a?x=*** HTTP/2.0\" 200 3 \"-\" \
         \"a \\x22b\\x22 \\xC3\\xA9\\x0A\" request_id=r-1 host=a.test duration=0.250000 vhost=a.test \
         error=upstream_reset error_detail=\"the server reset the connection\"\n"
    );
}

#[test]
fn leaves_out_what_nobody_wants() {
    let skip_paths = vec!["/b".to_owned()];
    let fields = [LogField::Status, LogField::Host].into_iter().collect();
    let logging = Logging { fields, skip_paths, ..Logging::default() };
    let failed = AccessLine { status: 500, ..line("/b") };
    let other = AccessLine { path: Some("/c"), ..line("/c") };
    assert_eq!(
        written(&logging, &[line("/b"), failed, other]),
        "{\"host\":\"a.test\",\"status\":500}\n{\"host\":\"a.test\",\"status\":200}\n"
    );
}

#[test]
fn the_documentation_has_every_field_in_order() {
    let page = include_str!("../../../docs/logging.md");
    let section = page.split("\n## Fields of an access line\n").nth(1).unwrap();
    let documented: Vec<_> = section
        .split("\n## ")
        .next()
        .unwrap()
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`'))
        .map(|(name, _)| name)
        .collect();
    let fields = LogField::ALL.map(LogField::name);
    assert_eq!(documented, fields, "docs/logging.md");
}
