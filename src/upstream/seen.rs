//! What is shown of each server, in metrics and by the admin API.

use std::net::SocketAddr;

use fluxheim_config::{UpstreamHost, UpstreamServer};

use super::Pool;
use super::clock::Tick;
use super::endpoint::Standing;

/// One address of one server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerSeen {
    /// As the configuration has it: `host:port`.
    pub server: String,
    pub address: SocketAddr,
    /// By active checks; true where there are none.
    pub healthy: bool,
    /// Left out after failures.
    pub ejected: bool,
    /// Gets no new requests.
    pub draining: bool,
    pub in_flight: u32,
}

/// One server as the configuration has it, resolved or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerListed {
    pub server: String,
    pub draining: bool,
    /// Whether the configuration says otherwise.
    pub overridden: bool,
    pub addresses: Vec<ServerSeen>,
}

impl Pool {
    /// Every address there is now.
    #[must_use]
    pub fn servers(&self, now: Tick) -> Vec<ServerSeen> {
        let table = self.table.load();
        let seen = table.members.iter().filter_map(|member| {
            let standing = member.endpoint.standing(now);
            let server = self.config.servers.get(member.server)?;
            Some(ServerSeen {
                server: name(server),
                draining: table.shared.drains(server).0,
                address: member.endpoint.address,
                healthy: standing != Standing::Unhealthy,
                ejected: standing == Standing::Ejected,
                in_flight: member.endpoint.in_flight(),
            })
        });
        seen.collect()
    }

    /// Every server there is, with its addresses.
    #[must_use]
    pub fn listed(&self, now: Tick) -> Vec<ServerListed> {
        let seen = self.servers(now);
        let table = self.table.load();
        let listed = self.config.servers.iter().map(|server| {
            let (draining, overridden) = table.shared.drains(server);
            let name = name(server);
            let addresses = seen.iter().filter(|seen| seen.server == name).cloned().collect();
            ServerListed { server: name, draining, overridden, addresses }
        });
        listed.collect()
    }

    /// Requests that wait for a server now.
    #[must_use]
    pub fn waiting(&self) -> u32 {
        self.table.load().shared.line.waiting()
    }
}

/// A server as the configuration has it.
pub(super) fn name(server: &UpstreamServer) -> String {
    match &server.host {
        UpstreamHost::Ip(ip) => SocketAddr::new(*ip, server.port).to_string(),
        UpstreamHost::Name(name) => format!("{name}:{}", server.port),
        UpstreamHost::Service(name) => format!("srv:{name}"),
    }
}
