//! UUIDs of version 7 (RFC 9562 section 5.7): unique, and sorted by time.
//!
//! Owns their form. The time and the random bits come in.

/// A UUID of version 7 for this millisecond since the Unix epoch, in its text form.
#[must_use]
pub fn uuid_v7(millis: u64, random: u128) -> [u8; 36] {
    let time = u128::from(millis & ((1 << 48) - 1)) << 80;
    let random = random & !(u128::MAX << 80);
    // Version and variant stand in the random bits' place.
    let uuid = (time | random) & !(0xf << 76) & !(0x3 << 62) | (0x7 << 76) | (0x2 << 62);
    let mut text = [b'-'; 36];
    let mut digits = (0..32_u32).rev().map(|digit| hex((uuid >> (digit * 4)) & 0xf));
    for (at, place) in text.iter_mut().enumerate() {
        if !matches!(at, 8 | 13 | 18 | 23) {
            *place = digits.next().unwrap_or(b'0');
        }
    }
    text
}

/// The digit of a number below 16.
#[must_use]
pub fn hex(digit: u128) -> u8 {
    match u8::try_from(digit) {
        Ok(digit @ 0..=9) => b'0' + digit,
        Ok(digit @ 10..=15) => b'a' + digit - 10,
        _ => b'0',
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn makes_uuids_of_version_7() {
        // RFC 9562 appendix A.6.
        let made = uuid_v7(0x017f_22e2_79b0, 0x0cc3_18c4_dc0c_0c07_398f);
        assert_eq!(std::str::from_utf8(&made).unwrap(), "017f22e2-79b0-7cc3-98c4-dc0c0c07398f");
        let greatest = uuid_v7(u64::MAX, u128::MAX);
        assert_eq!(std::str::from_utf8(&greatest).unwrap(), "ffffffff-ffff-7fff-bfff-ffffffffffff");
    }
}
