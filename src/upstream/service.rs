//! Servers that DNS lists under the name of a service (RFC 2782): `srv:_http._tcp.app.example`.
//!
//! Owns what the records say: where the targets are, and the part that each of them has. Which one is
//! picked is the table's.

use std::net::SocketAddr;
use std::time::Instant;

use hickory_resolver::TokioResolver;
use hickory_resolver::net::NetError;
use hickory_resolver::proto::rr::RData;

/// An address that a server's name resolved to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Found {
    /// Of equal weight and priority unless a record says otherwise; the lowest number comes first.
    pub priority: u16,
    pub address: SocketAddr,
    /// In place of the server's own.
    pub weight: Option<u16>,
}

impl From<SocketAddr> for Found {
    fn from(address: SocketAddr) -> Self {
        Self { priority: 0, address, weight: None }
    }
}

/// The addresses of all targets, and until when they hold. A target that does not resolve is left out
/// while another one does.
///
/// # Errors
/// The resolver's, when nothing is found.
pub(super) async fn find(resolver: &TokioResolver, name: &str) -> Result<(Vec<Found>, Instant), NetError> {
    let answer = resolver.srv_lookup(name).await?;
    let (mut found, mut until, mut failed) = (Vec::new(), answer.valid_until(), None);
    for record in answer.answers().iter().take(MOST_TARGETS) {
        let RData::SRV(target) = &record.data else { continue };
        // A root as the target: the service is not offered there, decidedly.
        if target.target.is_root() {
            continue;
        }
        match resolver.lookup_ip(target.target.clone()).await {
            Ok(ips) => {
                until = until.min(ips.valid_until());
                found.extend(ips.iter().map(|ip| Found {
                    priority: target.priority,
                    address: SocketAddr::new(ip, target.port),
                    // Nothing of its own is hardly anything, beside others (RFC 2782).
                    weight: Some(target.weight.max(1)),
                }));
            }
            Err(error) => failed = Some(error),
        }
    }
    // Servers rotate their answers; a stable order keeps the table from changing.
    found.sort_unstable();
    match failed {
        Some(error) if found.is_empty() => Err(error),
        _ => Ok((found, until)),
    }
}

/// Far more than any service has; each is a question of its own.
const MOST_TARGETS: usize = 256;

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::str::FromStr;

    use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
    use hickory_resolver::net::runtime::TokioRuntimeProvider;
    use hickory_resolver::proto::op::{Message, ResponseCode};
    use hickory_resolver::proto::rr::rdata::{A, SRV};
    use hickory_resolver::proto::rr::{Name, Record, RecordType};
    use tokio::net::UdpSocket;

    use super::*;

    /// A name server of its own: two targets of one priority, one of another, one that does not exist,
    /// and one that is none.
    async fn name_server() -> TokioResolver {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let mut connection = ConnectionConfig::udp();
        connection.port = socket.local_addr().unwrap().port();
        let server = NameServerConfig::new(Ipv4Addr::LOCALHOST.into(), true, vec![connection]);
        tokio::spawn(async move {
            let mut buffer = [0; 1500];
            while let Ok((read, from)) = socket.recv_from(&mut buffer).await {
                let asked = Message::from_vec(&buffer[..read]).unwrap();
                let _ = socket.send_to(&answer(asked).to_vec().unwrap(), from).await;
            }
        });
        let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
        TokioResolver::builder_with_config(config, TokioRuntimeProvider::default()).build().unwrap()
    }

    fn answer(asked: Message) -> Message {
        let question = asked.queries[0].clone();
        let mut answer = asked.into_response();
        let name = question.name().clone();
        let text = name.to_utf8().to_ascii_lowercase();
        let data: Vec<RData> = match (question.query_type(), text.as_str()) {
            (RecordType::SRV, "_http._tcp.app.test.") => [
                (10, 5, 8080, "a.test."),
                (10, 0, 8081, "b.test."),
                (20, 7, 8082, "c.test."),
                (10, 1, 8083, "none.test."),
                (10, 1, 8084, "."),
            ]
            .map(|(priority, weight, port, target)| {
                RData::SRV(SRV::new(priority, weight, port, Name::from_str(target).unwrap()))
            })
            .to_vec(),
            (RecordType::SRV, "_gone._tcp.app.test.") => {
                vec![RData::SRV(SRV::new(1, 1, 80, Name::from_str("none.test.").unwrap()))]
            }
            (RecordType::A, "a.test.") => vec![RData::A(A::new(192, 0, 2, 1))],
            (RecordType::A, "b.test.") => vec![RData::A(A::new(192, 0, 2, 2))],
            (RecordType::A, "c.test.") => vec![RData::A(A::new(192, 0, 2, 3))],
            _ => Vec::new(),
        };
        if data.is_empty() {
            answer.metadata.response_code = ResponseCode::NXDomain;
        }
        answer.add_answers(data.into_iter().map(|data| Record::from_rdata(name.clone(), 60, data)));
        answer
    }

    #[tokio::test]
    async fn finds_the_addresses_of_all_targets_with_their_parts() {
        let resolver = name_server().await;
        let (found, until) = find(&resolver, "_http._tcp.app.test.").await.unwrap();
        let at = |priority, last, port, weight| Found {
            priority,
            address: SocketAddr::new([192, 0, 2, last].into(), port),
            weight: Some(weight),
        };
        assert_eq!(found, [at(10, 1, 8080, 5), at(10, 2, 8081, 1), at(20, 3, 8082, 7)]);
        assert!(until > Instant::now());
    }

    #[tokio::test]
    async fn fails_where_nothing_is_found() {
        let resolver = name_server().await;
        assert!(find(&resolver, "_gone._tcp.app.test.").await.is_err());
        assert!(find(&resolver, "_other._tcp.app.test.").await.is_err());
    }
}
