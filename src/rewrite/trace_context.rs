//! W3C Trace Context: `traceparent` and `tracestate`, read and written.
//!
//! Owns their syntax (<https://www.w3.org/TR/trace-context/>). Pure: random bits come in.

use http::HeaderValue;

use crate::types::hex;

/// Where a request stands in its trace: our own span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    pub trace: u128,
    pub id: u64,
    /// The caller's span; `None` where the trace begins here.
    pub parent: Option<u64>,
    pub sampled: bool,
}

impl Span {
    /// Our span of the trace that `traceparent` continues.
    #[must_use]
    pub fn continuing(traceparent: &HeaderValue, random: u64) -> Option<Self> {
        let (trace, parent, sampled) = parse(traceparent.as_bytes())?;
        Some(Self { trace, id: nonzero(random), parent: Some(parent), sampled })
    }

    /// The first span of a new trace. `millionths` of them are sampled, by the trace's random bits, so
    /// that everyone with the same ratio decides alike.
    #[must_use]
    pub fn beginning(trace: u128, id: u64, millionths: u32) -> Self {
        let trace = if trace == 0 { 1 } else { trace };
        let bound = (u128::from(u64::MAX) + 1) * u128::from(millionths) / 1_000_000;
        let sampled = (trace & u128::from(u64::MAX)) < bound;
        Self { trace, id: nonzero(id), parent: None, sampled }
    }

    /// The `traceparent` that makes us the parent.
    #[must_use]
    pub fn traceparent(&self) -> [u8; 55] {
        let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
        write_hex(text.get_mut(3..35).unwrap_or_default(), self.trace);
        write_hex(text.get_mut(36..52).unwrap_or_default(), u128::from(self.id));
        write_hex(text.get_mut(53..55).unwrap_or_default(), u128::from(self.sampled));
        text
    }

    /// The trace's id as logs have it.
    #[must_use]
    pub fn trace_text(&self) -> [u8; 32] {
        let mut text = [0; 32];
        write_hex(&mut text, self.trace);
        text
    }

    /// Our span's id as logs have it.
    #[must_use]
    pub fn id_text(&self) -> [u8; 16] {
        let mut text = [0; 16];
        write_hex(&mut text, u128::from(self.id));
        text
    }
}

/// Trace, parent and whether it is sampled. Versions to come may have more behind (section 4.3).
fn parse(text: &[u8]) -> Option<(u128, u64, bool)> {
    let (known, rest) = text.split_at_checked(55)?;
    let mut parts = known.split(|byte| *byte == b'-');
    let (version, trace, parent) = (number(parts.next()?, 2)?, parts.next()?, parts.next()?);
    let flags = number(parts.next()?, 2)?;
    let ends_well = if version == 0 { rest.is_empty() } else { matches!(rest, [] | [b'-', ..]) };
    let trace = number(trace, 32).filter(|trace| *trace != 0)?;
    let parent = number(parent, 16).and_then(|parent| u64::try_from(parent).ok()).filter(|id| *id != 0)?;
    (ends_well && version != 0xff).then_some((trace, parent, flags & 1 == 1))
}

/// Lower-case digits and no others (section 3.2).
fn number(text: &[u8], digits: usize) -> Option<u128> {
    if text.len() != digits {
        return None;
    }
    text.iter().try_fold(0, |number, byte| match byte {
        b'0'..=b'9' => Some(number << 4 | u128::from(byte - b'0')),
        b'a'..=b'f' => Some(number << 4 | u128::from(byte - b'a' + 10)),
        _ => None,
    })
}

/// The `tracestate` of all its fields, within bounds; `None` where nothing is left or one is malformed.
/// What is over the bounds is cut member by member, the oldest first (section 3.3.1.5).
#[must_use]
pub fn tracestate<'a>(fields: impl Iterator<Item = &'a HeaderValue>) -> Option<String> {
    let mut state = String::new();
    let mut members = 0;
    for field in fields {
        for member in field.to_str().ok()?.split(',').map(str::trim).filter(|member| !member.is_empty()) {
            if !is_member(member) {
                return None;
            }
            members += 1;
            if members <= MEMBERS && state.len() + member.len() < STATE_BYTES {
                if !state.is_empty() {
                    state.push(',');
                }
                state.push_str(member);
            } else {
                members = MEMBERS;
            }
        }
    }
    (!state.is_empty()).then_some(state)
}

/// Section 3.3.1.3: `key=value`.
fn is_member(member: &str) -> bool {
    let Some((key, value)) = member.split_once('=') else { return false };
    let in_key = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-' | b'*' | b'/' | b'@')
    };
    let in_value = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'=';
    (1..=256).contains(&key.len())
        && (1..=256).contains(&value.len())
        && key.bytes().all(in_key)
        && value.bytes().all(in_value)
}

fn write_hex(place: &mut [u8], number: u128) {
    let mut rest = number;
    for digit in place.iter_mut().rev() {
        *digit = hex(rest & 0xf);
        rest >>= 4;
    }
}

/// Zero is no id (section 3.2.2.4).
const fn nonzero(id: u64) -> u64 {
    if id == 0 { 1 } else { id }
}

/// Section 3.3.1.1.
const MEMBERS: usize = 32;
/// What section 3.3.1.5 asks to pass on at least.
const STATE_BYTES: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    const SENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn value(text: &str) -> HeaderValue {
        HeaderValue::from_str(text).unwrap()
    }

    #[test]
    fn continues_a_trace_with_a_span_of_its_own() {
        let span = Span::continuing(&value(SENT), 0xabc).unwrap();
        assert_eq!((span.parent, span.sampled), (Some(0x00f0_67aa_0ba9_02b7), true));
        let sent = span.traceparent();
        assert_eq!(
            std::str::from_utf8(&sent).unwrap(),
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000abc-01"
        );
        assert_eq!(&span.trace_text(), b"4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(&span.id_text(), b"0000000000000abc");
        let quiet = Span::continuing(&value(&SENT.replace("-01", "-00")), 0).unwrap();
        assert_eq!((quiet.id, quiet.sampled), (1, false));
        assert!(Span::continuing(&value(&format!("01{}-x", &SENT[2..])), 1).is_some());
    }

    #[test]
    fn takes_no_malformed_traceparent() {
        let zeros =
            |from: usize, to: usize| format!("{}{}{}", &SENT[..from], "0".repeat(to - from), &SENT[to..]);
        for bad in [
            "",
            "00",
            &SENT.to_uppercase(),
            &format!("{SENT}-00"),
            &format!("ff{}", &SENT[2..]),
            &format!("01{}x", &SENT[2..]),
            &SENT.replace('-', "_"),
            &SENT[..54],
            &zeros(3, 35),
            &zeros(36, 52),
            &SENT.replace("-00f", "-00g"),
        ] {
            assert_eq!(Span::continuing(&value(bad), 1), None, "{bad}");
        }
    }

    #[test]
    fn samples_the_part_that_is_asked_for() {
        let spread = |n: u64| Span::beginning(u128::from(n.wrapping_mul(0x9e37_79b9_7f4a_7c15)), n, 250_000);
        let sampled = (1..=10_000).filter(|n| spread(*n).sampled).count();
        assert!((2_300..=2_700).contains(&sampled), "{sampled}");
        assert!(Span::beginning(u128::MAX, 1, 1_000_000).sampled);
        assert!(!Span::beginning(0, 1, 0).sampled);
    }

    #[test]
    fn passes_a_tracestate_on_within_bounds_or_not_at_all() {
        let state =
            |fields: &[&str]| tracestate(fields.iter().map(|text| value(text)).collect::<Vec<_>>().iter());
        assert_eq!(state(&["a=1, b@c=2 ,", "d=3"]).as_deref(), Some("a=1,b@c=2,d=3"));
        assert_eq!(state(&[]), None);
        for bad in ["a", "A=1", "a=1,=2", "a=", "a=b=c", "a=\t"] {
            assert_eq!(state(&[bad]), None, "{bad}");
        }
        let many = (0..40).map(|n| format!("k{n}=v")).collect::<Vec<_>>().join(",");
        assert_eq!(state(&[&many]).unwrap().split(',').count(), 32);
        let long = format!("a=1,b={},c=3", "x".repeat(250));
        assert_eq!(state(&[&long, &format!("d={},e=5", "x".repeat(250))]).unwrap(), long);
    }
}
