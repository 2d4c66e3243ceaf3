//! The `cookie` field that HTTP/2 clients cut into crumbs, in one piece again.
//!
//! Owns the rule: before a request leaves HTTP/2, its crumbs are joined, as servers of HTTP/1.1 look at one
//! field only (RFC 9113 section 8.2.3).

use http::{HeaderMap, HeaderValue, header};

/// The one field that stands for several; `None` where there are not several.
#[must_use]
pub fn joined(headers: &HeaderMap) -> Option<HeaderValue> {
    let crumbs: Vec<&[u8]> = headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if crumbs.len() < 2 {
        return None;
    }
    HeaderValue::from_bytes(&crumbs.join(&b"; "[..])).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joins_crumbs_in_their_order_and_leaves_one_piece_alone() {
        let mut headers = HeaderMap::new();
        assert_eq!(joined(&headers), None);
        headers.append(header::COOKIE, "a=1; b=2".parse().unwrap());
        assert_eq!(joined(&headers), None);
        headers.append(header::COOKIE, HeaderValue::from_bytes(b"c=\xff").unwrap());
        headers.append(header::COOKIE, "d=4".parse().unwrap());
        assert_eq!(joined(&headers).unwrap().as_bytes(), b"a=1; b=2; c=\xff; d=4");
    }
}
