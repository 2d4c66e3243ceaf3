//! `access`: networks that may come in, and networks that may not.
//!
//! Owns the rule that no network stands on both sides; judges no client.

use ipnet::IpNet;

use crate::Access;
use crate::flaw::{Flaw, show};
use crate::schema;
use crate::section::{At, Read, Section};
use crate::value::address;

const NETWORKS: &str = "a list such as [\"10.0.0.0/8\"]";

/// The key of a vhost or route.
pub(crate) fn read(section: &Section<'_>) -> Read<Option<Access>> {
    super::table_or_off(section, "access", &schema::ACCESS, table)
}

fn table(section: &Section<'_>) -> Option<Access> {
    let allow = section.list("allow", NETWORKS, address::network);
    let deny = section.list("deny", NETWORKS, address::network);
    if matches!(allow, Read::Flawed) || matches!(deny, Read::Flawed) {
        return None;
    }
    let (allow, deny) = (allow.or(Vec::new()), deny.or(Vec::new()));
    if allow.is_empty() && deny.is_empty() && !section.may_hide("allow") && !section.may_hide("deny") {
        let flaw = Flaw::new("access names no network");
        section.run().sink.absence(section.at, flaw.help("fill allow or deny, or write access = \"off\""));
        return None;
    }
    for refused in &allow {
        if deny.iter().any(|network| network.value.contains(&refused.value)) {
            let flaw = Flaw::new(format!(
                "{} is denied too, and so never comes in",
                show(&refused.value.to_string())
            ));
            section.here("allow", refused.at, flaw.help("remove it here or from deny"));
        }
    }
    let networks = |list: Vec<At<IpNet>>| list.into_iter().map(|network| network.value).collect();
    Some(Access { allow: networks(allow), deny: networks(deny) })
}
