use fluxheim_config::{UpstreamServer, UpstreamTls};
use pingora::upstreams::peer::Peer;

use super::*;

const ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 443);

fn upstream(host: UpstreamHost) -> Upstream {
    let tls = UpstreamTls {
        ca: None,
        client: None,
        server_name: None,
        min_version: TlsVersion::V1_2,
        insecure_skip_verify: false,
    };
    let servers = vec![UpstreamServer::new(host, 443)];
    Upstream { tls: Some(tls), ..Upstream::new("app", servers) }
}

fn outward(digest: u64) -> Outward {
    Outward { ca: Arc::new([]), client: None, digest }
}

fn key(link: &Link) -> u64 {
    link.peer(ADDRESS, None, None).reuse_hash()
}

#[test]
fn connections_are_told_apart_by_all_that_was_read_for_their_tls() {
    let named = upstream(UpstreamHost::Name("app.test".to_owned()));
    let link = |digest| Link::new(&named, Some(&outward(digest)));
    assert_eq!(key(&link(1)), key(&link(1)));
    assert_ne!(key(&link(1)), key(&link(2)));
    assert_ne!(key(&link(1)), key(&Link::new(&named, None)));
    let mut other = named.clone();
    other.tls.as_mut().unwrap().server_name = Some(UpstreamHost::Name("other.test".to_owned()));
    assert_ne!(key(&link(1)), key(&Link::new(&other, Some(&outward(1)))));
}

#[test]
fn a_server_given_by_address_is_verified_by_its_address() {
    let link = Link::new(&upstream(UpstreamHost::Ip(ADDRESS.ip())), Some(&outward(1)));
    let peer = link.peer(ADDRESS, None, None);
    // Without a name, the framework would verify nothing.
    assert_eq!((peer.sni(), peer.verify_cert(), peer.verify_hostname()), ("127.0.0.1", true, true));
}

#[test]
fn connections_with_proxy_headers_are_kept_for_the_same_ends_only() {
    let link = Link::new(
        &Upstream {
            proxy_protocol: Some(ProxyVersion::V2),
            ..Upstream::new("app", vec![UpstreamServer::new(UpstreamHost::Ip(ADDRESS.ip()), 443)])
        },
        None,
    );
    let ends = |port| Some(Ends { source: ([192, 0, 2, 7], port).into(), destination: ADDRESS });
    let key = |port| link.peer(ADDRESS, ends(port), None).reuse_hash();
    assert_eq!(key(1), key(1));
    assert_ne!(key(1), key(2));
}

#[test]
fn no_two_tunnels_share_a_connection() {
    let link = Link::new(&upstream(UpstreamHost::Ip(ADDRESS.ip())), None);
    assert_ne!(
        link.tunnel(ADDRESS, None, None).0.reuse_hash(),
        link.tunnel(ADDRESS, None, None).0.reuse_hash()
    );
}

#[test]
fn no_wait_is_longer_than_the_time_that_is_left() {
    let link = Link::new(&upstream(UpstreamHost::Ip(ADDRESS.ip())), None);
    let left = Duration::from_millis(1500);
    let options = link.peer(ADDRESS, None, Some(left)).options;
    assert_eq!((options.total_connection_timeout, options.read_timeout), (Some(left), Some(left)));
    let options = link.peer(ADDRESS, None, Some(Duration::from_secs(3600))).options;
    assert_eq!(options.read_timeout, Some(Duration::from_secs(60)));
}
