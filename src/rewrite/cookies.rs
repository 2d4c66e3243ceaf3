//! Cookies in a request.
//!
//! Reads one by name, as servers do (RFC 6265 section 5.4): pairs between semicolons, the first wins.

use http::{HeaderMap, header};

/// The value of the cookie of that name.
#[must_use]
pub fn value<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let fields = headers.get_all(header::COOKIE).into_iter().filter_map(|field| field.to_str().ok());
    let mut pairs = fields.flat_map(|field| field.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(found, _)| *found == name).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_one_by_its_whole_name() {
        let mut headers = HeaderMap::new();
        headers.append(header::COOKIE, "xsrv=0; srv=a=b;srv=c".parse().unwrap());
        headers.append(header::COOKIE, "other=d".parse().unwrap());
        assert_eq!(value(&headers, "srv"), Some("a=b"));
        assert_eq!(value(&headers, "other"), Some("d"));
        assert_eq!(value(&headers, "Srv"), None);
        assert_eq!(value(&headers, "a"), None);
    }
}
