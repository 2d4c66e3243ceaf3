use proptest::prelude::*;

use super::*;

#[path = "../../tests/fuzz/properties/proxy.rs"]
mod properties;

fn ends(source: &str, destination: &str) -> Ends {
    Ends { source: source.parse().unwrap(), destination: destination.parse().unwrap() }
}

/// The whole text is one header.
fn told(text: &str) -> Option<Ends> {
    match properties::holds(text.as_bytes()) {
        Ok(Read::Header { len, ends }) if len == text.len() => ends,
        other => panic!("{text:?}: {other:?}"),
    }
}

#[test]
fn reads_lines() {
    let v4 = ends("192.0.2.7:4000", "198.51.100.1:443");
    assert_eq!(told("PROXY TCP4 192.0.2.7 198.51.100.1 4000 443\r\n"), Some(v4));
    let v6 = ends("[2001:db8::7]:0", "[::1]:65535");
    assert_eq!(told("PROXY TCP6 2001:db8::7 ::1 0 65535\r\n"), Some(v6));
    assert_eq!(told("PROXY UNKNOWN\r\n"), None);
    assert_eq!(told("PROXY UNKNOWN whatever it is\r\n"), None);
}

#[test]
fn refuses_lines_that_are_anything_else() {
    for line in [
        "PROXY TCP4 192.0.2.7 198.51.100.1 4000 443 \r\n",
        "PROXY TCP4  192.0.2.7 198.51.100.1 4000 443\r\n",
        "PROXY TCP4 192.0.2.7 198.51.100.1 4000\r\n",
        "PROXY TCP4 192.0.2.7 198.51.100.1 04000 443\r\n",
        "PROXY TCP4 192.0.2.7 198.51.100.1 +4000 443\r\n",
        "PROXY TCP4 192.0.2.7 198.51.100.1 70000 443\r\n",
        "PROXY TCP4 192.0.2.07 198.51.100.1 4000 443\r\n",
        "PROXY TCP4 ::1 ::1 4000 443\r\n",
        "PROXY TCP6 192.0.2.7 198.51.100.1 4000 443\r\n",
        "PROXY TCP6 fe80::1%eth0 ::1 4000 443\r\n",
        "PROXY UDP4 192.0.2.7 198.51.100.1 4000 443\r\n",
        "PROXY UNKNOWNX\r\n",
        "PROXY \r\n",
        "PROXY UNKNOWN a\nb\r\n",
        "PROXY UNKNOWN a\rb\r\n",
        "PROXY UNKNOWN a\tb\r\n",
    ] {
        assert_eq!(properties::holds(line.as_bytes()), Err(Malformed::Text), "{line:?}");
    }
    let long = format!("PROXY UNKNOWN {}", "x".repeat(107));
    assert_eq!(properties::holds(long.as_bytes()), Err(Malformed::Text));
}

#[test]
fn refuses_what_begins_otherwise_at_once() {
    for bytes in [&b"G"[..], b"GET / HTTP/1.1\r\n", b"\x16\x03\x01", b"proxy ", b"\r\n\r\nGET"] {
        assert_eq!(properties::holds(bytes), Err(Malformed::NoHeader), "{bytes:?}");
    }
}

#[test]
fn widens_to_ipv6_where_the_ends_are_of_two_families() {
    let mixed = ends("[2001:db8::7]:1", "192.0.2.7:2");
    assert_eq!(write(Form::Text, Some(mixed)), b"PROXY TCP6 2001:db8::7 ::ffff:192.0.2.7 1 2\r\n");
    let mapped = ends("[::ffff:192.0.2.7]:1", "192.0.2.8:2");
    assert_eq!(write(Form::Text, Some(mapped)), b"PROXY TCP4 192.0.2.7 192.0.2.8 1 2\r\n");
}

proptest! {
    #[test]
    fn holds_for_any_bytes(
        begin in prop::sample::select(vec![&b""[..], b"PROXY TCP4 ", b"PROXY ", b"\r\n\r\n\0\r\nQUIT\n", b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0"]),
        rest in prop::collection::vec(any::<u8>(), 0..80),
    ) {
        let _ = properties::holds(&[begin, &rest].concat());
    }
}
