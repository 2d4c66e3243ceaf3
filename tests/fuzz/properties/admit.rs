//! Heads of requests: what is admitted leaves readers nothing to disagree on, and is admitted again as it
//! then stands.

use fluxheim_config::Limits;
use http::request::Parts;

use super::{Admitted, admit};

/// Fails where something is admitted that must not be, or not in its one form; whether it was. `None` for
/// bytes that are no head at all: a line of method and target, then lines of `name: value`.
pub(crate) fn holds(bytes: &[u8]) -> Option<bool> {
    let head = parsed(bytes)?;
    let Ok(admitted) = admit(&head, &Limits::default()) else { return Some(false) };
    assert!(!matches!(head.method.as_str(), "TRACE" | "CONNECT"), "{}", head.method);
    let (host, path) = (admitted.host.as_str(), admitted.path.as_str());
    assert!(!host.is_empty() && *host == host.to_ascii_lowercase(), "{host:?}");
    assert!(!host.contains(|c: char| c == '/' || c == '@' || c == '%' || c <= ' ' || c > '~'), "{host:?}");
    assert!(head.headers.get_all("host").iter().count() < 2);
    judge_path(path);
    let lengths: Vec<_> = head.headers.get_all("content-length").iter().collect();
    match (admitted.declared_body, &lengths[..]) {
        (None, []) => {}
        (Some(length), [field]) => {
            let digits = std::str::from_utf8(field.as_bytes()).unwrap_or_default();
            assert!(digits.bytes().all(|byte| byte.is_ascii_digit()), "{digits:?}");
            assert_eq!(digits.parse(), Ok(length));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(again(host, path), (admitted.host, admitted.path));
    Some(true)
}

fn parsed(bytes: &[u8]) -> Option<Parts> {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let (method, target) = std::str::from_utf8(lines.next()?).ok()?.split_once(' ')?;
    let mut request = http::Request::builder().method(method).uri(target);
    for line in lines.filter(|line| !line.is_empty()) {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let value = &line[colon + 1..];
        request = request.header(&line[..colon], value.strip_prefix(b" ").unwrap_or(value));
    }
    Some(request.body(()).ok()?.into_parts().0)
}

/// By a reader that decodes everything once, and then takes slashes, parameters and dots for what they are.
fn judge_path(path: &str) {
    assert!(path.starts_with('/') && !path.contains("//"), "{path:?}");
    let (mut decoded, mut rest) = (Vec::new(), path.as_bytes());
    while let [first, after @ ..] = rest {
        rest = after;
        decoded.push(*first);
        if *first == b'%' {
            let digits = std::str::from_utf8(&after[..2]).unwrap();
            // One spelling of each escape, and none where none is needed.
            assert_eq!(digits, digits.to_ascii_uppercase(), "{path:?}");
            let byte = u8::from_str_radix(digits, 16).unwrap();
            assert!(!byte.is_ascii_alphanumeric() && !b"-._~\0\\".contains(&byte), "{path:?}");
            *decoded.last_mut().unwrap() = byte;
            rest = &after[2..];
        }
    }
    assert!(!decoded.contains(&0) && !decoded.contains(&b'\\'), "{path:?}");
    for segment in decoded.split(|byte| *byte == b'/') {
        let name = segment.split(|byte| *byte == b';').next().unwrap_or_default();
        assert!(name != b"." && name != b"..", "{path:?}");
    }
}

/// What becomes of the same request as it is known from then on.
fn again(host: &str, path: &str) -> (super::Host, super::Path) {
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let head = parsed(format!("GET {path}\nhost: {host}\n").as_bytes()).unwrap();
    let Admitted { host, path, .. } = admit(&head, &Limits::default()).unwrap();
    (host, path)
}
