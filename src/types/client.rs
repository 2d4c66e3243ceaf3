//! Whom limits count as one client.

use std::net::IpAddr;

/// An address as limits count it: IPv4 whole; of IPv6 the leading bits that a subscriber is given, who
/// could otherwise be as many clients as there are addresses in a /64 (RFC 6177 section 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Client(u128);

impl Client {
    /// Counts an IPv6 address by its first `ipv6_prefix` bits. One that maps IPv4 (RFC 4291 section
    /// 2.5.5.2) is that IPv4 address.
    #[must_use]
    pub fn of(address: IpAddr, ipv6_prefix: u8) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self(address.to_ipv6_mapped().to_bits()),
            IpAddr::V6(address) => {
                let host_bits = 128_u32.saturating_sub(u32::from(ipv6_prefix));
                Self(address.to_bits() & u128::MAX.checked_shl(host_bits).unwrap_or(0))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_ipv4_by_address_and_ipv6_by_prefix() {
        let same = |a: &str, b: &str, prefix| {
            Client::of(a.parse().unwrap(), prefix) == Client::of(b.parse().unwrap(), prefix)
        };
        assert!(same("192.0.2.1", "::ffff:192.0.2.1", 64));
        assert!(!same("192.0.2.1", "192.0.2.2", 32));
        assert!(same("2001:db8::1", "2001:db8::ffff:0:0:1", 64));
        assert!(!same("2001:db8:0:1::1", "2001:db8::1", 64));
        assert!(same("2001:db8:0:1::1", "2001:db8::1", 56));
        assert!(!same("2001:db8::1", "2001:db8::2", 128));
    }
}
