//! Classes of bytes: tokens (RFC 9110 section 5.6.2) and field values (section 5.5).

/// Whether all of it is one token.
pub(super) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|byte| is_token_byte(*byte))
}

/// A byte of a token.
pub(super) fn is_token_byte(byte: u8) -> bool {
    TOKEN.get(usize::from(byte)).is_some_and(|is| *is)
}

/// Whether a byte may not stand in a field's value. Bytes above 0x7f may: they are opaque (obs-text).
pub(super) const fn is_control(byte: u8) -> bool {
    ((byte < b' ') & (byte != b'\t')) | (byte == 0x7f)
}

/// Whether a byte of a field's value may not stand there. Sixteen at a time, which the compiler turns into a
/// few instructions: most of a head is values.
pub(super) fn has_control(value: &[u8]) -> bool {
    let (blocks, rest) = value.as_chunks::<16>();
    let any = |bytes: &[u8]| bytes.iter().fold(0, |found, byte| found | u8::from(is_control(*byte))) != 0;
    blocks.iter().any(|block| any(block)) || any(rest)
}

/// Whether a byte may stand in a request target: visible ASCII, less what ends a target in a reference.
pub(super) const fn is_target_byte(byte: u8) -> bool {
    matches!(byte, b'!'..=b'~') && byte != b'#'
}

/// Without the spaces and tabs around it.
pub(super) fn trimmed(value: &[u8]) -> &[u8] {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t');
    let from = value.iter().position(|byte| !is_space(byte)).unwrap_or(value.len());
    let to = value.iter().rposition(|byte| !is_space(byte)).map_or(from, |last| last + 1);
    value.get(from..to).unwrap_or_default()
}

const TOKEN: [bool; 256] = token();

#[expect(clippy::indexing_slicing, reason = "a constant: what is out of bounds does not compile")]
const fn token() -> [bool; 256] {
    let mut table = [false; 256];
    let mut at = 0;
    let others = b"!#$%&'*+-.^_`|~";
    while at < others.len() {
        table[others[at] as usize] = true;
        at += 1;
    }
    let mut byte = 0;
    while byte < 128_u8 {
        if byte.is_ascii_alphanumeric() {
            table[byte as usize] = true;
        }
        byte += 1;
    }
    table
}
