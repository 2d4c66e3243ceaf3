//! `security_headers`: a profile by its name, or a table of fields over one.
//!
//! Owns what the profiles hold and which values each field has; sends nothing.

use toml::de::DeValue;

use crate::flaw::{Flaw, show};
use crate::schema;
use crate::section::{At, Read, Section};
use crate::value::{self, field};
use crate::{HeaderProfile, SecurityHeaders};

/// Profiles by name.
pub(crate) const PROFILES: [(&str, HeaderProfile); 3] =
    [("off", HeaderProfile::Off), ("basic", HeaderProfile::Basic), ("strict", HeaderProfile::Strict)];

const EXPECTED: &str = "\"basic\", \"strict\", \"off\", or a table";

/// The key of a vhost or route; `None` where nothing is sent.
pub(crate) fn read(section: &Section<'_>) -> Read<Option<SecurityHeaders>> {
    let key = "security_headers";
    let Some(node) = section.any(key) else { return Read::Absent };
    let headers = match node.value {
        DeValue::String(text) => section.judge(key, node.at, value::word(text, &PROFILES)).map(of),
        DeValue::Table(table) => fields(&section.inline(node, table, &schema::SECURITY_HEADERS)),
        _ => {
            section.wrong_type(key, EXPECTED, node, None);
            None
        }
    };
    let Some(headers) = headers else { return Read::Flawed };
    Read::Good(At { at: node.at, value: Some(headers).filter(|headers| *headers != of(HeaderProfile::Off)) })
}

/// What a profile sends by itself.
fn of(profile: HeaderProfile) -> SecurityHeaders {
    let basic = profile != HeaderProfile::Off;
    let strict = profile == HeaderProfile::Strict;
    let by = |basic_value: Option<&str>, strict_value: Option<&str>| {
        let value = if strict { strict_value } else { basic_value };
        value.filter(|_| basic).map(str::to_owned)
    };
    SecurityHeaders {
        profile,
        // A month, so that a site that must go back to plain HTTP can.
        hsts: by(Some("max-age=2592000"), Some("max-age=63072000; includeSubDomains")),
        content_type_options: by(Some("nosniff"), Some("nosniff")),
        frame_options: by(Some("SAMEORIGIN"), Some("DENY")),
        referrer_policy: by(Some("strict-origin-when-cross-origin"), Some("no-referrer")),
        // What a page may load is the page's matter: no profile knows.
        content_security_policy: None,
        permissions_policy: by(
            None,
            Some("camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()"),
        ),
        cross_origin_opener_policy: by(None, Some("same-origin")),
        cross_origin_embedder_policy: None,
        cross_origin_resource_policy: by(None, Some("same-origin")),
        replace: false,
    }
}

fn fields(section: &Section<'_>) -> Option<SecurityHeaders> {
    let profile = section.read("profile", "the name of a profile", |text| value::word(text, &PROFILES));
    let profile = profile.certain(HeaderProfile::Off);
    let defaults = of(profile.unwrap_or(HeaderProfile::Off));
    let field = |key, check: fn(&str) -> Result<String, Flaw>, default: Option<String>| {
        let value = section.read(key, "a string, or \"off\"", |text| match text {
            "off" => Ok(None),
            text => check(text).map(Some),
        });
        value.or(default)
    };
    let headers = SecurityHeaders {
        profile: defaults.profile,
        hsts: field("hsts", hsts, defaults.hsts),
        content_type_options: field("content_type_options", nosniff, defaults.content_type_options),
        frame_options: field("frame_options", frame_options, defaults.frame_options),
        referrer_policy: field("referrer_policy", referrer_policy, defaults.referrer_policy),
        content_security_policy: field(
            "content_security_policy",
            field::value,
            defaults.content_security_policy,
        ),
        permissions_policy: field("permissions_policy", field::value, defaults.permissions_policy),
        cross_origin_opener_policy: field(
            "cross_origin_opener_policy",
            opener_policy,
            defaults.cross_origin_opener_policy,
        ),
        cross_origin_embedder_policy: field(
            "cross_origin_embedder_policy",
            embedder_policy,
            defaults.cross_origin_embedder_policy,
        ),
        cross_origin_resource_policy: field(
            "cross_origin_resource_policy",
            resource_policy,
            defaults.cross_origin_resource_policy,
        ),
        replace: section.boolean("replace").or(false),
    };
    profile.map(|_| headers)
}

/// RFC 6797 section 6.1, and what preload lists ask for.
fn hsts(text: &str) -> Result<String, Flaw> {
    let flaw = |what: &str| Flaw::new(format!("{} {what}", show(text)));
    let example = "write it such as \"max-age=31536000; includeSubDomains\"";
    let text = field::value(text)?;
    let (mut age, mut subdomains, mut preload) = (None, false, false);
    for directive in text.split(';').map(str::trim) {
        let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
        match (name.to_ascii_lowercase().as_str(), value) {
            ("max-age", value) if value.bytes().all(|byte| byte.is_ascii_digit()) && age.is_none() => {
                age = value.parse::<u64>().ok();
            }
            ("includesubdomains", "") => subdomains = true,
            ("preload", "") => preload = true,
            _ => return Err(flaw("is not a Strict-Transport-Security field").help(example)),
        }
    }
    let Some(age) = age else { return Err(flaw("has no max-age in seconds").help(example)) };
    if preload && (!subdomains || age < YEAR) {
        return Err(
            flaw("asks for preload").help("that takes max-age=31536000 or more and includeSubDomains")
        );
    }
    Ok(text)
}

/// In seconds; what preload lists ask for at least.
const YEAR: u64 = 31_536_000;

/// One of `words`, as it is spelled there.
fn one_of(text: &str, words: &'static [&'static str]) -> Result<String, Flaw> {
    let named: Vec<_> = words.iter().map(|word| (*word, *word)).collect();
    match words.iter().find(|word| word.eq_ignore_ascii_case(text)) {
        Some(word) => Ok((*word).to_owned()),
        None => value::word(text, &named).map(str::to_owned),
    }
}

fn nosniff(text: &str) -> Result<String, Flaw> {
    one_of(text, &["nosniff"])
}

fn frame_options(text: &str) -> Result<String, Flaw> {
    one_of(text, &["DENY", "SAMEORIGIN"])
}

fn referrer_policy(text: &str) -> Result<String, Flaw> {
    one_of(
        text,
        &[
            "no-referrer",
            "no-referrer-when-downgrade",
            "origin",
            "origin-when-cross-origin",
            "same-origin",
            "strict-origin",
            "strict-origin-when-cross-origin",
            "unsafe-url",
        ],
    )
}

fn opener_policy(text: &str) -> Result<String, Flaw> {
    one_of(text, &["same-origin", "same-origin-allow-popups", "noopener-allow-popups", "unsafe-none"])
}

fn embedder_policy(text: &str) -> Result<String, Flaw> {
    one_of(text, &["require-corp", "credentialless", "unsafe-none"])
}

fn resource_policy(text: &str) -> Result<String, Flaw> {
    one_of(text, &["same-origin", "same-site", "cross-origin"])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_a_transport_security_that_browsers_would_not_take() {
        for good in
            ["max-age=0", "max-age=31536000; includeSubDomains; preload", "MAX-AGE=1;includesubdomains"]
        {
            assert!(hsts(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "includeSubDomains",
            "max-age=",
            "max-age=1y",
            "max-age=1; max-age=2",
            "max-age=1; x",
            "max-age=31536000; preload",
            "max-age=1; includeSubDomains; preload",
        ] {
            assert!(hsts(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn spells_words_as_their_standard_does() {
        assert_eq!(frame_options("deny").unwrap(), "DENY");
        assert!(frame_options("ALLOW-FROM x").is_err());
    }
}
