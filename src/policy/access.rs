//! Who may come in, by address.
//!
//! Owns the compiled form of `access`: a look-up costs the logarithm of the networks, however long the
//! lists. Denied networks go first: who is in one stays out, whatever else is allowed.

use std::net::IpAddr;

use fluxheim_config as config;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::types::ClientIp;

/// The rules of one route.
#[derive(Debug)]
pub struct Access {
    /// `None` is everybody.
    allow: Option<Networks>,
    deny: Networks,
}

impl Access {
    /// Compiles the rules.
    #[must_use]
    pub fn new(access: &config::Access) -> Self {
        let allow = (!access.allow.is_empty()).then(|| Networks::new(&access.allow));
        Self { allow, deny: Networks::new(&access.deny) }
    }

    /// Whether `client` may come in. An address that is not known is in no network that is allowed, and
    /// may be in one that is denied.
    #[must_use]
    pub fn permits(&self, client: ClientIp) -> bool {
        let address = client.0.to_canonical();
        !address.is_unspecified()
            && !self.deny.hold(address)
            && self.allow.as_ref().is_none_or(|allow| allow.hold(address))
    }
}

/// Networks that don't overlap, in their order.
#[derive(Debug)]
struct Networks {
    v4: Vec<Ipv4Net>,
    v6: Vec<Ipv6Net>,
}

impl Networks {
    fn new(networks: &[IpNet]) -> Self {
        let v4: Vec<_> = networks.iter().filter_map(|network| v4(*network)).collect();
        let v6: Vec<_> = networks.iter().filter_map(|network| v6(*network)).collect();
        let mut networks = Self { v4: Ipv4Net::aggregate(&v4), v6: Ipv6Net::aggregate(&v6) };
        networks.v4.sort_unstable();
        networks.v6.sort_unstable();
        networks
    }

    /// The one network that could hold the address is the last that begins at or before it.
    fn hold(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(v4) => {
                let after = self.v4.partition_point(|network| network.network() <= v4);
                after
                    .checked_sub(1)
                    .and_then(|at| self.v4.get(at))
                    .is_some_and(|network| network.contains(&v4))
            }
            IpAddr::V6(v6) => {
                let after = self.v6.partition_point(|network| network.network() <= v6);
                after
                    .checked_sub(1)
                    .and_then(|at| self.v6.get(at))
                    .is_some_and(|network| network.contains(&v6))
            }
        }
    }
}

const fn v4(network: IpNet) -> Option<Ipv4Net> {
    match network {
        IpNet::V4(network) => Some(network),
        IpNet::V6(_) => None,
    }
}

const fn v6(network: IpNet) -> Option<Ipv6Net> {
    match network {
        IpNet::V4(_) => None,
        IpNet::V6(network) => Some(network),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn access(allow: &[&str], deny: &[&str]) -> Access {
        let networks = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        Access::new(&config::Access { allow: networks(allow), deny: networks(deny) })
    }

    fn permits(access: &Access, client: &str) -> bool {
        access.permits(ClientIp(client.parse().unwrap()))
    }

    #[test]
    fn denied_goes_before_allowed() {
        let access = access(&["10.0.0.0/8", "2001:db8::/32"], &["10.9.0.0/16"]);
        for (client, may) in [
            ("10.1.2.3", true),
            ("10.9.2.3", false),
            ("10.8.255.255", true),
            ("10.10.0.0", true),
            ("192.0.2.1", false),
            ("2001:db8::1", true),
            ("2001:db9::1", false),
        ] {
            assert_eq!(permits(&access, client), may, "{client}");
        }
    }

    #[test]
    fn without_allowed_networks_all_but_the_denied_come_in() {
        let access = access(&[], &["192.0.2.7/32", "2001:db8::/64"]);
        assert!(permits(&access, "192.0.2.8") && permits(&access, "::1"));
        assert!(!permits(&access, "192.0.2.7") && !permits(&access, "2001:db8::ffff"));
    }

    #[test]
    fn an_ipv4_client_in_ipv6_clothes_is_an_ipv4_client() {
        let access = access(&["10.0.0.0/8"], &["10.9.0.0/16"]);
        assert!(permits(&access, "::ffff:10.1.2.3"));
        assert!(!permits(&access, "::ffff:10.9.2.3"));
        assert!(!permits(&super::tests::access(&["::/0"], &[]), "::ffff:10.1.2.3"));
    }

    #[test]
    fn an_unknown_address_never_comes_in() {
        for access in [access(&["0.0.0.0/0", "::/0"], &[]), access(&[], &["10.0.0.0/8"])] {
            assert!(!permits(&access, "0.0.0.0") && !permits(&access, "::"));
        }
    }

    proptest! {
        #[test]
        fn agrees_with_a_look_at_every_network(
            networks in proptest::collection::vec((any::<IpAddr>(), 1..=32u8), 0..40),
            client in any::<IpAddr>(),
        ) {
            let networks: Vec<IpNet> =
                networks.into_iter().map(|(ip, length)| IpNet::new(ip, length).unwrap().trunc()).collect();
            let held = networks.iter().any(|network| network.contains(&client));
            prop_assert_eq!(Networks::new(&networks).hold(client), held);
            for network in &networks {
                prop_assert!(Networks::new(&networks).hold(network.addr()));
                prop_assert!(Networks::new(&networks).hold(network.broadcast()));
            }
        }
    }
}
