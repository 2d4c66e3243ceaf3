//! The cookie that keeps a client with its server.
//!
//! Owns what stands in it: a keyed name of the server, which tells nobody an address, when it ends, and a
//! signature over both and the upstream's name (HMAC-SHA-256, RFC 2104, cut to 128 bits). A cookie that
//! is wrong in any way is as good as none. Pure, but for the key it holds.

use std::fmt;
use std::net::SocketAddr;

use aws_lc_rs::{constant_time, hmac};
use fluxheim_config::{SameSite, Sticky};

/// The key of one upstream's cookies.
pub struct StickyKey {
    key: hmac::Key,
    upstream: String,
}

/// Nothing of the key.
impl fmt::Debug for StickyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StickyKey({:?})", self.upstream)
    }
}

/// Why a file holds no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it has {0} bytes, and a key has at least {LEAST_KEY}: write one with `openssl rand -hex 32`")]
pub struct KeyTooShort(usize);

/// A cookie that was good: which server it names, and until when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pinned {
    pub(super) name: u64,
    /// Seconds since the Unix epoch; 0 is for good.
    ends: u64,
}

impl StickyKey {
    /// A key from the content of its file, a line end apart.
    ///
    /// # Errors
    /// [`KeyTooShort`] below 32 bytes.
    pub fn new(upstream: &str, content: &[u8]) -> Result<Self, KeyTooShort> {
        let content = content.strip_suffix(b"\n").unwrap_or(content);
        if content.len() < LEAST_KEY {
            return Err(KeyTooShort(content.len()));
        }
        Ok(Self { key: hmac::Key::new(hmac::HMAC_SHA256, content), upstream: upstream.to_owned() })
    }

    /// What a server is called in cookies.
    pub(super) fn name(&self, address: &SocketAddr) -> u64 {
        let tag = self.tag(b"server", &[address.to_string().as_bytes()]);
        tag.as_ref().first_chunk().map_or(0, |first| u64::from_be_bytes(*first))
    }

    /// The value for a server.
    fn seal(&self, pinned: Pinned) -> String {
        let (name, ends) = (pinned.name.to_be_bytes(), pinned.ends.to_be_bytes());
        let tag = self.tag(b"cookie", &[&name, &ends]);
        let bytes = name.iter().chain(&ends).chain(tag.as_ref().iter().take(TAG));
        bytes.map(|byte| format!("{byte:02x}")).collect()
    }

    /// What a value says, if it is one of ours and still good at `now`.
    pub(super) fn open(&self, value: &str, now: u64) -> Option<Pinned> {
        if value.len() != 2 * (16 + TAG) || !value.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let number = |range: std::ops::Range<usize>| u64::from_str_radix(value.get(range)?, 16).ok();
        let pinned = Pinned { name: number(0..16)?, ends: number(16..32)? };
        let known = self.seal(pinned);
        constant_time::verify_slices_are_equal(known.as_bytes(), value.as_bytes()).ok()?;
        (pinned.ends == 0 || now < pinned.ends).then_some(pinned)
    }

    /// The `Set-Cookie` for a client that was served by `address`; `None` where it has a good one already.
    pub(super) fn set_cookie(
        &self,
        sticky: &Sticky,
        had: Option<Pinned>,
        address: &SocketAddr,
        now: u64,
    ) -> Option<String> {
        let name = self.name(address);
        let ttl = sticky.ttl.map(|ttl| ttl.as_secs());
        // Again once half of its time is over, so that those who stay don't lose their server.
        let lasts = |had: Pinned| ttl.is_none_or(|ttl| had.ends.saturating_sub(now) > ttl / 2);
        if had.is_some_and(|had| had.name == name && lasts(had)) {
            return None;
        }
        let value = self.seal(Pinned { name, ends: ttl.map_or(0, |ttl| now.saturating_add(ttl)) });
        let age = ttl.map_or_else(String::new, |ttl| format!("; Max-Age={ttl}"));
        let secure = if sticky.secure { "; Secure" } else { "" };
        let same_site = match sticky.same_site {
            SameSite::Strict => "Strict",
            SameSite::Lax => "Lax",
            SameSite::None => "None",
        };
        Some(format!("{}={value}; Path=/{age}; HttpOnly{secure}; SameSite={same_site}", sticky.cookie))
    }

    fn tag(&self, purpose: &[u8], parts: &[&[u8]]) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.key);
        // Neither a purpose nor a name has a zero byte.
        for part in [purpose, self.upstream.as_bytes()] {
            context.update(part);
            context.update(&[0]);
        }
        parts.iter().for_each(|part| context.update(part));
        context.sign()
    }
}

/// Bytes of a key: as many as the hash function has (RFC 2104 section 3).
const LEAST_KEY: usize = 32;
/// Bytes of the signature that stand in a cookie.
const TAG: usize = 16;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn key(upstream: &str) -> StickyKey {
        StickyKey::new(upstream, &[7; 32]).unwrap()
    }

    fn sticky(ttl: Option<u64>) -> Sticky {
        Sticky {
            cookie: "srv".into(),
            secret_file: "k".into(),
            ttl: ttl.map(Duration::from_secs),
            secure: true,
            same_site: SameSite::Lax,
        }
    }

    fn value(cookie: &str) -> &str {
        cookie.strip_prefix("srv=").unwrap().split(';').next().unwrap()
    }

    #[test]
    fn a_cookie_names_its_server_until_it_ends_and_hides_the_address() {
        let (key, at) = (key("app"), "10.1.2.3:8080".parse().unwrap());
        let cookie = key.set_cookie(&sticky(Some(60)), None, &at, 1000).unwrap();
        assert!(cookie.ends_with("; Path=/; Max-Age=60; HttpOnly; Secure; SameSite=Lax"), "{cookie}");
        assert!(!cookie.contains("10.1.2.3") && !cookie.contains("0a010203") && !cookie.contains("1f90"));
        let pinned = key.open(value(&cookie), 1059).unwrap();
        assert_eq!(pinned.name, key.name(&at));
        assert_eq!(key.open(value(&cookie), 1060), None);
        assert_eq!(key.set_cookie(&sticky(Some(60)), Some(pinned), &at, 1020), None);
        assert!(key.set_cookie(&sticky(Some(60)), Some(pinned), &at, 1031).is_some());
        assert!(
            key.set_cookie(&sticky(Some(60)), Some(pinned), &"10.1.2.4:8080".parse().unwrap(), 1020)
                .is_some()
        );
        let session = key.set_cookie(&sticky(None), None, &at, 1000).unwrap();
        assert!(!session.contains("Max-Age") && key.open(value(&session), u64::MAX).is_some());
    }

    #[test]
    fn takes_nothing_that_was_changed_made_up_or_meant_for_another_upstream() {
        let (key, other) = (key("app"), key("other"));
        let cookie = key.set_cookie(&sticky(None), None, &"10.1.2.3:8080".parse().unwrap(), 0).unwrap();
        let good = value(&cookie);
        assert!(key.open(good, 0).is_some());
        assert_eq!(other.open(good, 0), None);
        for at in 0..good.len() {
            let mut changed = good.to_owned();
            let digit = if &good[at..=at] == "0" { "1" } else { "0" };
            changed.replace_range(at..=at, digit);
            assert_eq!(key.open(&changed, 0), None, "{at}");
        }
        for made_up in ["", "0", &good[1..], &format!("{good}0"), &"é".repeat(32), &good.to_uppercase()] {
            assert!(made_up == good || key.open(made_up, 0).is_none(), "{made_up}");
        }
    }

    #[test]
    fn refuses_a_short_key() {
        assert_eq!(StickyKey::new("app", &[b'k'; 31]).unwrap_err(), KeyTooShort(31));
        let mut line = [b'k'; 32];
        line[31] = b'\n';
        assert!(StickyKey::new("app", &line).is_err());
    }
}
