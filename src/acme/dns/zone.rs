//! Where a record belongs: behind CNAMEs, in which zone, and who answers for it.
//!
//! Owns whom to ask: the server that takes the updates first, as it knows its own zones and may be the
//! only one that shows them to us; what it does not answer for, or where there is none, the system's resolver knows.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use fluxheim_config::UpstreamHost;
use hickory_resolver::TokioResolver;
use hickory_resolver::net::{DnsError as NetDnsError, NetError};
use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};

use super::error::{DnsError, MOST_ALIASES, ProviderError};
use super::exchange::ask;

/// Where a record is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) owner: Name,
    pub(super) zone: Name,
}

/// The servers of a zone, each with its addresses.
pub(super) type Servers = Vec<(Name, Vec<SocketAddr>)>;

/// Finds places.
#[derive(Debug)]
pub(super) struct Finder {
    /// The server that takes the updates, where there is one: it is asked first.
    pub(super) server: Option<(UpstreamHost, u16)>,
    /// What the configuration says; it is believed.
    pub(super) zone: Option<Name>,
    pub(super) resolver: TokioResolver,
}

/// What somebody knows of a name.
struct Known {
    answers: Vec<Record>,
    authorities: Vec<Record>,
}

impl Finder {
    /// The addresses of the server that takes the updates.
    pub(super) async fn servers(&self) -> Result<Vec<SocketAddr>, DnsError> {
        let (name, port) = match &self.server {
            None => return Ok(Vec::new()),
            Some((UpstreamHost::Ip(address), port)) => return Ok(vec![SocketAddr::new(*address, *port)]),
            Some((UpstreamHost::Name(name) | UpstreamHost::Service(name), port)) => (name, *port),
        };
        let found = self
            .resolver
            .lookup_ip(name.as_str())
            .await
            .map_err(|error| DnsError::ServerName { server: name.clone(), reason: error.to_string() })?;
        Ok(found.iter().map(|address| SocketAddr::new(address, port)).collect())
    }

    /// Where the record of `name` has to be.
    pub(super) async fn place(&self, name: &str) -> Result<Place, DnsError> {
        let mut owner = Name::from_ascii(name).map_err(|_| DnsError::Name(name.to_owned()))?;
        owner.set_fqdn(true);
        let mut seen = BTreeSet::new();
        while let Some(target) = self.alias(&owner).await? {
            if !seen.insert(owner) || seen.len() > MOST_ALIASES {
                return Err(DnsError::Aliases { name: name.to_owned() });
            }
            owner = target;
        }
        let zone = match &self.zone {
            Some(zone) if zone.zone_of(&owner) => zone.clone(),
            Some(zone) => {
                return Err(DnsError::OutsideZone { name: owner.to_string(), zone: zone.to_string() });
            }
            None => self.zone_of(&owner).await?,
        };
        Ok(Place { owner, zone })
    }

    async fn alias(&self, name: &Name) -> Result<Option<Name>, DnsError> {
        let known = self.ask(name, RecordType::CNAME).await?;
        Ok(known.answers.into_iter().find_map(|record| match record.data {
            RData::CNAME(target) if record.name == *name => Some(target.0),
            _ => None,
        }))
    }

    /// The zone that a name is in: whoever answers about its SOA names it, with one or in its place (RFC 2308
    /// section 3).
    async fn zone_of(&self, name: &Name) -> Result<Name, DnsError> {
        let known = self.ask(name, RecordType::SOA).await?;
        let both = known.answers.into_iter().chain(known.authorities);
        let zone = both.into_iter().find(|record| record.record_type() == RecordType::SOA);
        zone.map(|record| record.name)
            .filter(|zone| zone.zone_of(name) && !zone.is_root())
            .ok_or_else(|| DnsError::NoZone { name: name.to_string() })
    }

    /// The servers of a zone, each with its addresses.
    pub(super) async fn name_servers(&self, zone: &Name) -> Result<Servers, DnsError> {
        let known = self.ask(zone, RecordType::NS).await?;
        let mut servers = Vec::new();
        for record in known.answers {
            if let RData::NS(server) = record.data {
                let addresses = self.addresses(&server.0).await?;
                servers.push((server.0, addresses));
            }
        }
        match servers.is_empty() {
            true => Err(DnsError::Lookup { name: zone.to_string(), reason: "it has no name servers".into() }),
            false => Ok(servers),
        }
    }

    async fn addresses(&self, server: &Name) -> Result<Vec<SocketAddr>, DnsError> {
        let mut addresses = Vec::new();
        for kind in [RecordType::A, RecordType::AAAA] {
            let known = self.ask(server, kind).await?;
            addresses.extend(known.answers.into_iter().filter_map(|record| match record.data {
                RData::A(address) => Some(SocketAddr::new(IpAddr::V4(address.0), DNS)),
                RData::AAAA(address) => Some(SocketAddr::new(IpAddr::V6(address.0), DNS)),
                _ => None,
            }));
        }
        Ok(addresses)
    }

    /// What the update server answers for, else what the system's resolver finds.
    async fn ask(&self, name: &Name, kind: RecordType) -> Result<Known, DnsError> {
        for server in self.servers().await? {
            match ask(server, name, kind).await {
                Ok(answer) if is_authoritative(&answer) => {
                    return Ok(Known { answers: answer.answers, authorities: answer.authorities });
                }
                Ok(_) => break,
                Err(error) => tracing::debug!(%error, "asking the next one"),
            }
        }
        match self.resolver.lookup(name.clone(), kind).await {
            Ok(lookup) => {
                Ok(Known { answers: lookup.answers().to_vec(), authorities: lookup.authorities().to_vec() })
            }
            Err(error) => nothing(error)
                .map_err(|error| DnsError::Lookup { name: name.to_string(), reason: error.to_string() }),
        }
    }
}

/// The zone that a configuration names.
pub(super) fn named(zone: Option<&str>) -> Result<Option<Name>, ProviderError> {
    let zone = zone.map(|text| {
        let mut zone = Name::from_ascii(text).map_err(|_| ProviderError::Zone(text.to_owned()))?;
        zone.set_fqdn(true);
        Ok(zone)
    });
    zone.transpose()
}

/// The port of name servers.
const DNS: u16 = 53;

/// Whether the server answers for the name: that there is something, or that there is not. A referral is
/// no answer.
pub(super) fn is_authoritative(answer: &Message) -> bool {
    let settled = matches!(answer.metadata.response_code, ResponseCode::NoError | ResponseCode::NXDomain);
    answer.metadata.authoritative && settled
}

/// That there is nothing is an answer as well.
fn nothing(error: NetError) -> Result<Known, NetError> {
    match error {
        NetError::Dns(NetDnsError::NoRecordsFound(none)) => {
            let settled = matches!(none.response_code, ResponseCode::NoError | ResponseCode::NXDomain);
            let authorities = none.authorities.iter().flat_map(|records| records.iter().cloned());
            let soa = none.soa.iter().map(|soa| (**soa).clone().into_record_of_rdata());
            match settled {
                true => Ok(Known { answers: Vec::new(), authorities: soa.chain(authorities).collect() }),
                false => Err(NetError::Dns(NetDnsError::NoRecordsFound(none))),
            }
        }
        other => Err(other),
    }
}
