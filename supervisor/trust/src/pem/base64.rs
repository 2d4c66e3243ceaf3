//! Base64, undone without a trace of the content in time or in the cache.
//!
//! Owns the decoding alone; writes to memory of the caller and to nothing else. Follows RFC 4648.

/// Undoes base64, white space ignored, padding optional; how many bytes were written.
pub(crate) fn decode(text: &[u8], out: &mut [u8]) -> Option<usize> {
    let (mut bits, mut held) = (0_u32, 0);
    let (mut digits, mut padding, mut written) = (0_usize, 0, 0);
    for &byte in text {
        match byte {
            b'\t'..=b'\r' | b' ' => continue,
            b'=' => padding += 1,
            _ if padding > 0 => return None,
            _ => {
                bits = bits << 6 | digit(byte)?;
                digits += 1;
                held += 6;
            }
        }
        if held >= 8 {
            held -= 8;
            let [.., low] = (bits >> held).to_be_bytes();
            *out.get_mut(written)? = low;
            written += 1;
        }
    }
    let complete = match digits % 4 {
        0 => padding == 0,
        2 => matches!(padding, 0 | 2),
        3 => matches!(padding, 0 | 1),
        _ => false,
    };
    complete.then_some(written)
}

/// The value of a base64 digit, without a branch or a table that depends on it: neither the branch
/// predictor nor the cache learns the key.
fn digit(byte: u8) -> Option<u32> {
    let byte = i32::from(byte);
    // All ones from `low` to `high`, else zero: both differences are negative there and only there.
    let within = |low: u8, high: u8| ((i32::from(low) - 1 - byte) & (byte - i32::from(high) - 1)) >> 8;
    let (upper, lower, number) = (within(b'A', b'Z'), within(b'a', b'z'), within(b'0', b'9'));
    let (plus, slash) = (within(b'+', b'+'), within(b'/', b'/'));
    let value =
        (upper & (byte - 65)) | (lower & (byte - 71)) | (number & (byte + 4)) | (plus & 62) | (slash & 63);
    let known = upper | lower | number | plus | slash;
    if known == 0 { None } else { u32::try_from(value).ok() }
}

#[cfg(test)]
mod tests;
