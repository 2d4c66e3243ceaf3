//! Bytes as of a certificate file and a key file: whatever they are, something sensible is said.

use fluxheim_trust::judge_contents;

/// What stands between the two files.
const BETWEEN: &[u8] = b"\n=====\n";

/// Fails if something is said that can't stand in a report, or that gives a key away.
pub(crate) fn holds(bytes: &[u8]) {
    let at = bytes.windows(BETWEEN.len()).position(|window| window == BETWEEN);
    let (certificate, key) = match at {
        Some(at) => (&bytes[..at], &bytes[at + BETWEEN.len()..]),
        None => (bytes, bytes),
    };
    for now in [i64::MIN, 0, 1_800_000_000, i64::MAX] {
        for finding in judge_contents(certificate, key, &[], now) {
            let text = finding.to_string();
            assert!(!text.contains(char::is_control), "{text:?}");
            assert!(!finding.fix.is_empty() && !finding.why.is_empty(), "{text}");
            assert!(text.len() < 8192, "{} bytes", text.len());
            if at.is_some() {
                keeps(key, &text);
            }
        }
    }
}

/// Fails if a line of a key's text is in `text`.
fn keeps(key: &[u8], text: &str) {
    let lines = key.split(|byte| *byte == b'\n').filter(|line| line.len() >= 48 && !line.starts_with(b"-"));
    for line in lines.filter_map(|line| std::str::from_utf8(line).ok()) {
        assert!(!text.contains(line), "a line of the key is told");
    }
}
