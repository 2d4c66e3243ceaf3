//! Files that hold a TSIG key.
//!
//! Owns their forms: what `tsig-keygen` and `keymgr -t` write, `algorithm:name:secret` as `nsupdate -y`
//! takes it, and the secret alone. Never says what the secret is.

use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use fluxheim_config::TsigAlgorithm;
use hickory_resolver::proto::rr::Name;
use zeroize::Zeroizing;

/// A shared key for transactions (RFC 8945).
pub struct TsigKey {
    pub(super) name: Name,
    pub(super) algorithm: TsigAlgorithm,
    pub(super) secret: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for TsigKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "TsigKey({}, {})", self.name, self.algorithm.name())
    }
}

/// Why a file is no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("it is no text")]
    NoText,
    #[error(
        "it is neither a key as tsig-keygen or keymgr -t write it, nor algorithm:name:secret, nor a secret in base64"
    )]
    Shape,
    #[error("the key has no {0}")]
    Missing(&'static str),
    #[error("the secret has no name with it: set acme.dns.key_name")]
    Nameless,
    #[error("the secret is no base64")]
    Base64,
    #[error(
        "the secret has {0} octets: 16 are the least, and as many as the hash has are advised (RFC 8945 section 8)"
    )]
    Short(usize),
    #[error("{0:?} is no name of a key")]
    Name(String),
    #[error("the algorithm {0:?} is none of hmac-sha256, hmac-sha384 and hmac-sha512")]
    Algorithm(String),
    #[error("the file has the algorithm {file} and acme.dns.algorithm is {configured}: make them one")]
    OtherAlgorithm { file: &'static str, configured: &'static str },
    #[error("it has no key named {0:?}, as acme.dns.key_name says")]
    OtherName(String),
    #[error("it has {0} keys: say which with acme.dns.key_name")]
    Several(usize),
}

/// A key as a file has it.
#[derive(Default)]
struct Entry<'a> {
    name: Option<&'a str>,
    algorithm: Option<&'a str>,
    secret: Option<&'a str>,
}

impl TsigKey {
    /// The key in a file, with what the configuration says about it.
    ///
    /// # Errors
    /// [`KeyError`]
    pub fn parse(
        file: &[u8],
        name: Option<&str>,
        algorithm: Option<TsigAlgorithm>,
    ) -> Result<Self, KeyError> {
        let text = std::str::from_utf8(file).map_err(|_| KeyError::NoText)?;
        let entry = choose(entries(text)?, name)?;
        let name = entry.name.or(name).ok_or(KeyError::Nameless)?;
        let of_file = entry.algorithm.map(of_name).transpose()?;
        let algorithm = match (of_file, algorithm) {
            (Some(file), Some(configured)) if file != configured => {
                return Err(KeyError::OtherAlgorithm { file: file.name(), configured: configured.name() });
            }
            (file, configured) => file.or(configured).unwrap_or(TsigAlgorithm::HmacSha256),
        };
        let secret = entry.secret.ok_or(KeyError::Missing("secret"))?;
        let secret = Zeroizing::new(BASE64_STANDARD.decode(secret).map_err(|_| KeyError::Base64)?);
        if secret.len() < LEAST {
            return Err(KeyError::Short(secret.len()));
        }
        let mut parsed = Name::from_ascii(name).map_err(|_| KeyError::Name(name.to_owned()))?;
        parsed.set_fqdn(true);
        Ok(Self { name: parsed.to_lowercase(), algorithm, secret })
    }
}

/// Fewer octets can be guessed.
const LEAST: usize = 16;

/// The only key, or the one of that name.
fn choose<'a>(mut entries: Vec<Entry<'a>>, name: Option<&str>) -> Result<Entry<'a>, KeyError> {
    let bare = |name: &str| name.trim_end_matches('.').to_ascii_lowercase();
    if let Some(wanted) = name {
        let fits = |entry: &Entry<'_>| entry.name.is_none_or(|name| bare(name) == bare(wanted));
        let found = entries.into_iter().find(fits);
        return found.ok_or_else(|| KeyError::OtherName(wanted.to_owned()));
    }
    match (entries.pop(), entries.len()) {
        (Some(only), 0) => Ok(only),
        (_, others) => Err(KeyError::Several(others + 1)),
    }
}

fn of_name(text: &str) -> Result<TsigAlgorithm, KeyError> {
    let all = [TsigAlgorithm::HmacSha256, TsigAlgorithm::HmacSha384, TsigAlgorithm::HmacSha512];
    let lower = text.trim_end_matches('.').to_ascii_lowercase();
    let found = all.into_iter().find(|algorithm| algorithm.name() == lower);
    found.ok_or_else(|| KeyError::Algorithm(text.to_owned()))
}

fn entries(text: &str) -> Result<Vec<Entry<'_>>, KeyError> {
    let mut words = words(text);
    let Some(first) = words.next() else { return Err(KeyError::Shape) };
    let entries = match (first, words.clone().next()) {
        (only, None) => vec![one_line(only)?],
        ("key:", Some(_)) => of_knot(words)?,
        ("key", Some(_)) => of_bind(text)?,
        _ => return Err(KeyError::Shape),
    };
    Ok(entries)
}

/// `secret`, or `algorithm:name:secret`, or `name:secret`.
fn one_line(word: &str) -> Result<Entry<'_>, KeyError> {
    let parts: Vec<&str> = word.split(':').collect();
    match parts.as_slice() {
        [secret] => Ok(Entry { secret: Some(secret), ..Entry::default() }),
        [algorithm, name, secret] => {
            Ok(Entry { name: Some(name), algorithm: Some(algorithm), secret: Some(secret) })
        }
        _ => Err(KeyError::Shape),
    }
}

/// `- id: NAME`, `algorithm: A`, `secret: S` (knot.conf(5)).
fn of_knot<'a>(mut words: impl Iterator<Item = &'a str>) -> Result<Vec<Entry<'a>>, KeyError> {
    let mut entries: Vec<Entry<'a>> = Vec::new();
    while let Some(word) = words.next() {
        let word = if word == "-" { words.next().ok_or(KeyError::Shape)? } else { word };
        if word == "id:" {
            entries.push(Entry::default());
        }
        let entry = entries.last_mut().ok_or(KeyError::Missing("id"))?;
        let value = Some(words.next().ok_or(KeyError::Shape)?.trim_matches('"'));
        match word {
            "id:" => entry.name = value,
            "algorithm:" => entry.algorithm = value,
            "secret:" => entry.secret = value,
            _ => return Err(KeyError::Shape),
        }
    }
    Ok(entries)
}

/// `key "NAME" { algorithm A; secret "S"; };` (named.conf(5)).
fn of_bind(text: &str) -> Result<Vec<Entry<'_>>, KeyError> {
    let mut entries = Vec::new();
    let mut rest = text;
    loop {
        rest = skip(rest);
        if rest.is_empty() {
            return Ok(entries);
        }
        let head = rest.strip_prefix("key").ok_or(KeyError::Shape)?;
        let (name, body) = head.split_once('{').ok_or(KeyError::Shape)?;
        let (body, after) = body.split_once('}').ok_or(KeyError::Shape)?;
        let mut entry = Entry { name: Some(bare(name)), ..Entry::default() };
        for statement in body.split(';') {
            let statement = skip(statement).trim();
            if statement.is_empty() {
                continue;
            }
            let (word, value) = statement.split_once(char::is_whitespace).ok_or(KeyError::Shape)?;
            match word {
                "algorithm" => entry.algorithm = Some(bare(value)),
                "secret" => entry.secret = Some(bare(value)),
                _ => return Err(KeyError::Shape),
            }
        }
        entries.push(entry);
        rest = after.trim_start().strip_prefix(';').ok_or(KeyError::Shape)?;
    }
}

fn bare(text: &str) -> &str {
    text.trim().trim_matches('"')
}

/// Over blanks and whole lines that are comments.
fn skip(text: &str) -> &str {
    let mut rest = text.trim_start();
    while rest.starts_with('#') || rest.starts_with("//") {
        rest = rest.split_once('\n').map_or("", |(_, after)| after).trim_start();
    }
    rest
}

/// Without lines that are comments.
fn words(text: &str) -> impl Iterator<Item = &str> + Clone {
    let said = |line: &&str| !line.trim_start().starts_with('#') && !line.trim_start().starts_with("//");
    text.lines().filter(said).flat_map(str::split_whitespace)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

    fn parsed(text: &str, name: Option<&str>) -> Result<(String, &'static str, usize), KeyError> {
        let key = TsigKey::parse(text.as_bytes(), name, None)?;
        Ok((key.name.to_string(), key.algorithm.name(), key.secret.len()))
    }

    fn good(name: &str, algorithm: &'static str) -> Result<(String, &'static str, usize), KeyError> {
        Ok((name.to_owned(), algorithm, 32))
    }

    #[test]
    fn reads_what_tsig_keygen_writes() {
        let text = format!(
            "# of the edge\nkey \"Acme.Edge\" {{\n\talgorithm hmac-sha512;\n\tsecret \"{SECRET}\";\n}};\n"
        );
        assert_eq!(parsed(&text, None), good("acme.edge.", "hmac-sha512"));
        assert_eq!(parsed(&text, Some("acme.edge.")), good("acme.edge.", "hmac-sha512"));
        assert_eq!(parsed(&text, Some("other")), Err(KeyError::OtherName("other".into())));
        let tight = format!("key acme{{algorithm hmac-sha256;secret {SECRET};}};");
        assert_eq!(parsed(&tight, None), good("acme.", "hmac-sha256"));
    }

    #[test]
    fn reads_what_keymgr_writes() {
        let text = format!(
            "# hmac-sha384:acme:{SECRET}\nkey:\n  - id: acme\n    algorithm: hmac-sha384\n    secret: {SECRET}\n"
        );
        assert_eq!(parsed(&text, None), good("acme.", "hmac-sha384"));
        let two = format!("{text}  - id: b\n    secret: {SECRET}\n");
        assert_eq!(parsed(&two, None), Err(KeyError::Several(2)));
        assert_eq!(parsed(&two, Some("b")), good("b.", "hmac-sha256"));
    }

    #[test]
    fn reads_secrets_alone() {
        assert_eq!(parsed(&format!("{SECRET}\n"), Some("a")), good("a.", "hmac-sha256"));
        assert_eq!(parsed(SECRET, None), Err(KeyError::Nameless));
        assert_eq!(parsed(&format!("hmac-sha512:a:{SECRET}"), None), good("a.", "hmac-sha512"));
    }

    #[test]
    fn refuses_what_is_no_key() {
        let cases = [
            ("", KeyError::Shape),
            ("two words", KeyError::Shape),
            ("a:b", KeyError::Shape),
            ("hmac-sha256:a:!", KeyError::Base64),
            ("hmac-sha256:a:AAAA", KeyError::Short(3)),
            ("hmac-md5:a:AAAA", KeyError::Algorithm("hmac-md5".into())),
            ("key \"a\" { algorithm hmac-sha256; };", KeyError::Missing("secret")),
            ("key \"a\" { algorithm hmac-sha256; }", KeyError::Shape),
            ("key \"a\" { port 53; };", KeyError::Shape),
            ("key:\n algorithm: x", KeyError::Missing("id")),
            ("key:\n - id:", KeyError::Shape),
        ];
        for (text, error) in cases {
            assert_eq!(parsed(text, None), Err(error), "{text:?}");
        }
        let one = format!("hmac-sha512:a:{SECRET}");
        let other = TsigKey::parse(one.as_bytes(), None, Some(TsigAlgorithm::HmacSha256));
        let error = KeyError::OtherAlgorithm { file: "hmac-sha512", configured: "hmac-sha256" };
        assert_eq!(other.err(), Some(error));
        assert_eq!(TsigKey::parse(&[0xff], None, None).err(), Some(KeyError::NoText));
    }

    #[test]
    fn says_nothing_of_the_secret() {
        let key = TsigKey::parse(SECRET.as_bytes(), Some("a"), None).unwrap();
        assert_eq!(format!("{key:?}"), "TsigKey(a., hmac-sha256)");
    }
}
