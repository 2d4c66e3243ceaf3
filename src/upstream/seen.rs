//! What is shown of each server, in metrics.

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
    pub in_flight: u32,
}

impl Pool {
    /// Every address there is now.
    #[must_use]
    pub fn servers(&self, now: Tick) -> Vec<ServerSeen> {
        let table = self.table.load();
        let seen = table.members.iter().filter_map(|member| {
            let standing = member.endpoint.standing(now);
            Some(ServerSeen {
                server: name(self.config.servers.get(member.server)?),
                address: member.endpoint.address,
                healthy: standing != Standing::Unhealthy,
                ejected: standing == Standing::Ejected,
                in_flight: member.endpoint.in_flight(),
            })
        });
        seen.collect()
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
    }
}
