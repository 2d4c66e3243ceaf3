//! What a plain decoder with a table reads, and nothing else.

use proptest::prelude::*;

use super::*;

const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn read(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = vec![0; text.len()];
    let written = decode(text, &mut out)?;
    out.truncate(written);
    Some(out)
}

/// The same by way of a table, four digits at a time.
fn reference(text: &[u8]) -> Option<Vec<u8>> {
    let bare: Vec<u8> = text.iter().copied().filter(|byte| !b"\t\n\x0b\x0c\r ".contains(byte)).collect();
    let digits = bare.iter().position(|byte| *byte == b'=').unwrap_or(bare.len());
    let (digits, padding) = bare.split_at(digits);
    let full = digits.len().next_multiple_of(4) - digits.len();
    if padding.iter().any(|byte| *byte != b'=') || ![0, full].contains(&padding.len()) || full == 3 {
        return None;
    }
    let mut bytes = Vec::new();
    for group in digits.chunks(4) {
        let mut bits = 0_u32;
        for place in 0..4 {
            let digit = group.get(place).copied().unwrap_or(b'A');
            let value = (0..).zip(ALPHABET).find(|(_, known)| **known == digit)?.0;
            bits = bits << 6 | value;
        }
        bytes.extend(&bits.to_be_bytes()[1..group.len()]);
    }
    Some(bytes)
}

#[test]
fn knows_the_alphabet_and_nothing_else() {
    for byte in 0..=u8::MAX {
        let place = ALPHABET.iter().position(|known| *known == byte);
        assert_eq!(digit(byte).map(|value| value as usize), place, "{byte}");
    }
}

#[test]
fn refuses_what_is_cut_padded_wrongly_or_foreign() {
    assert_eq!(read(b"AQID"), Some(vec![1, 2, 3]));
    assert_eq!(read(b" A\r\nQ\t="), None);
    assert_eq!(read(b" A\r\nQ\t=="), Some(vec![1]));
    for text in ["AQI*", "AQIDB", "AQ==ID", "AQI==", "AQ=", "====", "AQID=", "AQI\0", "AQI-", "AQI_"] {
        assert_eq!(read(text.as_bytes()), None, "{text}");
    }
}

#[test]
fn writes_nothing_beyond_its_room() {
    let mut out = [7; 2];
    assert_eq!(decode(b"AQID", &mut out), None);
    assert_eq!(out, [1, 2]);
}

/// Texts of every short length from a small alphabet, the awkward characters among it.
#[test]
fn agrees_with_the_reference_on_every_short_text() {
    let alphabet = b"Az9+/= \n\x0b-*";
    let mut seen = [0; 2];
    for length in 0..=5_u32 {
        for number in 0..alphabet.len().pow(length) {
            let place = |at| alphabet[number / alphabet.len().pow(at) % alphabet.len()];
            let text: Vec<u8> = (0..length).map(place).collect();
            assert_eq!(read(&text), reference(&text), "{:?}", String::from_utf8_lossy(&text));
            seen[usize::from(read(&text).is_some())] += 1;
        }
    }
    assert!(seen.iter().all(|count| *count > 1000), "{seen:?}");
}

proptest! {
    #[test]
    fn agrees_with_the_reference_on_any_text(text in "[A-Za-z0-9+/]{0,64}[\r\n ]{0,2}={0,3}") {
        prop_assert_eq!(read(text.as_bytes()), reference(text.as_bytes()));
    }

    #[test]
    fn agrees_with_the_reference_on_any_bytes(text in proptest::collection::vec(any::<u8>(), 0..64)) {
        prop_assert_eq!(read(&text), reference(&text));
    }
}
