//! What a client says it takes: `Accept` and `Accept-Encoding` with their weights.
//!
//! Owns reading those fields and choosing by them. A weight that is none counts as zero: what isn't
//! understood isn't sent. Follows RFC 9110 sections 12.4.2, 12.5.1 and 12.5.3.

use fluxheim_config::Coding;
use http::header::{ACCEPT, ACCEPT_ENCODING};
use http::{HeaderMap, HeaderName};

/// The coding the client likes best of `ours`, in whose order ties are settled.
///
/// `None` when it takes none of them, likes the plain form better or doesn't say.
#[must_use]
pub fn coding(fields: &HeaderMap, ours: &[Coding]) -> Option<Coding> {
    let mut best = None;
    let weights = Codings::read(fields);
    for coding in ours {
        let weight = weights.of(*coding);
        if weight > best.map_or(0, |(weight, _)| weight) {
            best = Some((weight, *coding));
        }
    }
    best.filter(|(weight, _)| *weight >= weights.identity.unwrap_or(0)).map(|(_, coding)| coding)
}

/// Weights in thousandths.
#[derive(Debug, Default)]
struct Codings {
    named: [Option<u16>; Coding::ALL.len()],
    identity: Option<u16>,
    others: Option<u16>,
}

impl Codings {
    fn read(fields: &HeaderMap) -> Self {
        let mut weights = Self::default();
        for (name, weight) in members(fields, &ACCEPT_ENCODING) {
            // Once known as "x-gzip" (RFC 9110 section 8.4.1.3).
            let name = if name.eq_ignore_ascii_case("x-gzip") { "gzip" } else { name };
            let known = Coding::ALL.iter().zip(&mut weights.named);
            let place = match name {
                "*" => &mut weights.others,
                _ if name.eq_ignore_ascii_case("identity") => &mut weights.identity,
                _ => match known.into_iter().find(|(coding, _)| name.eq_ignore_ascii_case(coding.name())) {
                    Some((_, place)) => place,
                    None => continue,
                },
            };
            place.get_or_insert(weight);
        }
        weights
    }

    fn of(&self, coding: Coding) -> u16 {
        let mut named = Coding::ALL.iter().zip(self.named);
        named.find(|(known, _)| **known == coding).and_then(|(_, weight)| weight).or(self.others).unwrap_or(0)
    }
}

/// The one of `offers` that the client likes best; the first of them on a tie, or where it doesn't say.
///
/// `None` when it takes none of them.
#[must_use]
pub fn media_type<'o>(fields: &HeaderMap, offers: &[&'o str]) -> Option<&'o str> {
    if !fields.contains_key(ACCEPT) {
        return offers.first().copied();
    }
    let mut best: Option<(u16, &str)> = None;
    for offer in offers {
        let weight = weight_of(fields, offer);
        if weight > best.map_or(0, |(weight, _)| weight) {
            best = Some((weight, offer));
        }
    }
    best.map(|(_, offer)| offer)
}

/// The weight of the most specific range that holds `offer`.
fn weight_of(fields: &HeaderMap, offer: &str) -> u16 {
    let kind = offer.split('/').next().unwrap_or_default();
    let closeness = |range: &str| match range.split_once('/') {
        _ if range.eq_ignore_ascii_case(offer) => Some(2),
        Some((of, "*")) if of.eq_ignore_ascii_case(kind) => Some(1),
        Some(("*", "*")) => Some(0),
        _ => None,
    };
    let held = members(fields, &ACCEPT).filter_map(|(range, weight)| Some((closeness(range)?, weight)));
    held.max_by_key(|(closeness, _)| *closeness).map_or(0, |(_, weight)| weight)
}

/// The list members of all lines of `name`, without parameters, with their weights in thousandths.
fn members<'f>(fields: &'f HeaderMap, name: &HeaderName) -> impl Iterator<Item = (&'f str, u16)> {
    let lines = fields.get_all(name).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).filter_map(member)
}

fn member(text: &str) -> Option<(&str, u16)> {
    let mut parts = text.split(';').map(|part| part.trim_matches([' ', '\t']));
    let name = parts.next().filter(|name| !name.is_empty())?;
    let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
    Some((name, weight.map_or(1000, |text| thousandths(text).unwrap_or(0))))
}

/// `0`, `1`, or one of them with up to three decimals, between 0 and 1.
fn thousandths(text: &str) -> Option<u16> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let digits = decimals.len() <= 3 && decimals.bytes().all(|byte| byte.is_ascii_digit());
    if !digits || !matches!(whole, "0" | "1") {
        return None;
    }
    let weight: u16 = format!("{whole}{decimals:0<3}").parse().ok()?;
    (weight <= 1000).then_some(weight)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: [Coding; 3] = [Coding::Zstd, Coding::Brotli, Coding::Gzip];

    fn fields(name: HeaderName, lines: &[&str]) -> HeaderMap {
        let mut fields = HeaderMap::new();
        for line in lines {
            fields.append(name.clone(), line.parse().unwrap());
        }
        fields
    }

    fn chosen(lines: &[&str]) -> Option<&'static str> {
        coding(&fields(ACCEPT_ENCODING, lines), &OURS).map(Coding::name)
    }

    #[test]
    fn chooses_by_weight_and_settles_ties_in_our_order() {
        assert_eq!(chosen(&["gzip, deflate, br, zstd"]), Some("zstd"));
        assert_eq!(chosen(&["gzip;q=1.0, br;q=0.9, zstd;q=0.8"]), Some("gzip"));
        assert_eq!(chosen(&["gzip", "br"]), Some("br"));
        assert_eq!(chosen(&["GZIP ; q=0.5"]), Some("gzip"));
        assert_eq!(chosen(&["x-gzip"]), Some("gzip"));
        assert_eq!(chosen(&["br;q=0.001, gzip;q=0.002"]), Some("gzip"));
    }

    #[test]
    fn sends_none_that_is_refused_unnamed_or_liked_less_than_the_plain_form() {
        for lines in [
            &[][..],
            &[""],
            &["identity"],
            &["gzip;q=0"],
            &["gzip;q=0.000, *;q=0"],
            &["gzip;q=0.5, identity"],
            &["deflate"],
            &["gzip;q=2"],
            &["gzip;q=-1"],
            &["gzip;q=0.1234"],
            &["gzip;q="],
            &["gzip;q=1.001"],
            &["gzip;q=NaN"],
            &["identity;q=1, *;q=0"],
        ] {
            assert_eq!(chosen(lines), None, "{lines:?}");
        }
    }

    #[test]
    fn a_star_stands_for_what_is_not_named() {
        assert_eq!(chosen(&["*"]), Some("zstd"));
        assert_eq!(chosen(&["zstd;q=0, *;q=0.5"]), Some("br"));
        assert_eq!(chosen(&["gzip, *;q=0"]), Some("gzip"));
    }

    #[test]
    fn takes_the_most_specific_range_for_a_media_type() {
        let offers = ["text/plain", "text/html", "application/problem+json"];
        let chosen = |lines: &[&str]| media_type(&fields(ACCEPT, lines), &offers);
        assert_eq!(chosen(&[]), Some("text/plain"));
        assert_eq!(chosen(&["*/*"]), Some("text/plain"));
        assert_eq!(chosen(&["text/html,application/xhtml+xml,*/*;q=0.8"]), Some("text/html"));
        assert_eq!(chosen(&["application/*"]), Some("application/problem+json"));
        assert_eq!(chosen(&["text/*;q=0.4, text/plain;q=0.1, */*;q=0.2"]), Some("text/html"));
        assert_eq!(chosen(&["image/png"]), None);
    }
}
