//! Network addresses: what to listen on, whom to trust, where upstream servers are.
//!
//! Resolves no name and opens no socket. Follows RFC 4291 and RFC 5952 for IPv6 text, RFC 4632 for
//! CIDR.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use super::host;
use crate::UpstreamHost;
use crate::flaw::{Flaw, show};

/// An address to listen on, `IP:port`. With port 0 the kernel chooses one and the log says which.
pub(crate) fn listener(text: &str) -> Result<SocketAddr, Flaw> {
    text.parse().map_err(|_| not_listener(text))
}

/// A network, or a single address for a network of one.
pub(crate) fn network(text: &str) -> Result<IpNet, Flaw> {
    let network = match text.parse::<IpAddr>() {
        Ok(address) => IpNet::from(address),
        Err(_) => text.parse().map_err(|_| not_network(text))?,
    };
    if network.trunc() != network {
        let flaw = Flaw::new(format!("{} has bits set beyond its prefix length", show(text)));
        return Err(flaw.help(format!(
            "the network is \"{}\"; a single address is \"{}\"",
            network.trunc(),
            network.addr()
        )));
    }
    match network {
        IpNet::V6(v6) if v6.prefix_len() >= 96 && v6.addr().to_ipv4_mapped().is_some() => {
            let flaw = Flaw::new(format!("{} is an IPv4 network in IPv6 clothes", show(text)));
            Err(flaw.help("write the IPv4 network"))
        }
        network => Ok(network),
    }
}

/// An upstream server, `name:port`, `IPv4:port`, `[IPv6]:port` or `srv:service`.
pub(crate) fn upstream(text: &str) -> Result<(UpstreamHost, u16), Flaw> {
    refuse_url(text)?;
    if let Some(service) = text.strip_prefix("srv:") {
        if service.contains(':') {
            let flaw = Flaw::new(format!("{} has a port, and so have the records of a service", show(text)));
            return Err(flaw.help("write the name of the service alone: \"srv:_http._tcp.app.example\""));
        }
        return host::name(service).map(|name| (UpstreamHost::Service(name), 0));
    }
    let (host, port) = split_port(text)?;
    let number: u16 =
        if port.bytes().all(|byte| byte.is_ascii_digit()) { port.parse().unwrap_or(0) } else { 0 };
    if number == 0 {
        return Err(Flaw::new(format!("{} has no valid port", show(text))).help("ports are 1 to 65535"));
    }
    Ok((upstream_host(host)?, number))
}

fn upstream_host(host: &str) -> Result<UpstreamHost, Flaw> {
    if let Some(inner) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        let v6 = inner.parse().map_err(|_| Flaw::new(format!("{} is not an IPv6 address", show(inner))))?;
        return Ok(UpstreamHost::Ip(IpAddr::V6(v6)));
    }
    match host.parse() {
        Ok(v4) => Ok(UpstreamHost::Ip(IpAddr::V4(v4))),
        Err(_) => host::name(host).map(UpstreamHost::Name),
    }
}

fn split_port(text: &str) -> Result<(&str, &str), Flaw> {
    if text.parse::<IpAddr>().is_ok_and(|address| address.is_ipv6()) {
        let flaw = Flaw::new(format!("{} leaves open where the address ends", show(text)));
        return Err(flaw.help(format!("put an IPv6 address in brackets and add the port: \"[{text}]:80\"")));
    }
    match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => Ok((host, port)),
        _ => Err(Flaw::new(format!("{} has no port", show(text))).help("add one: \"app-1:3000\"")),
    }
}

fn refuse_url(text: &str) -> Result<(), Flaw> {
    let Some((scheme, rest)) = text.split_once("://") else { return Ok(()) };
    let flaw = Flaw::new(format!("{} is a URL", show(text)));
    Err(match scheme {
        "https" => flaw.help("write host and port only, and give the upstream tls = {}"),
        _ => flaw.help(format!(
            "write host and port only, such as {}",
            show(rest.split('/').next().unwrap_or(rest))
        )),
    })
}

fn not_listener(text: &str) -> Flaw {
    let flaw = Flaw::new(format!("{} is not an address to listen on", show(text)));
    let port = text.strip_prefix(':').unwrap_or(text);
    if port.parse::<u16>().is_ok() {
        return flaw.help(format!(
            "write \"0.0.0.0:{port}\" for every IPv4 address or \"[::]:{port}\" for every IPv6 address"
        ));
    }
    match text.parse::<IpAddr>() {
        Ok(IpAddr::V4(_)) => flaw.help(format!("add a port: \"{text}:8080\"")),
        Ok(IpAddr::V6(_)) => flaw.help(format!("add brackets and a port: \"[{text}]:8080\"")),
        Err(_) => {
            flaw.help("write \"IP:port\", such as \"0.0.0.0:8080\" or \"[::]:8080\"; names are not looked up")
        }
    }
}

fn not_network(text: &str) -> Flaw {
    Flaw::new(format!("{} is neither an address nor a network", show(text)))
        .help("write one such as \"10.0.0.0/8\", \"192.0.2.7\" or \"2001:db8::/32\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told<T: std::fmt::Debug>(result: Result<T, Flaw>) -> String {
        let Flaw { message, help } = result.unwrap_err();
        format!("{message}; {}", help.unwrap_or_default())
    }

    #[test]
    fn listens_on_ip_and_port_only() {
        assert_eq!(listener("0.0.0.0:8080").unwrap().to_string(), "0.0.0.0:8080");
        assert_eq!(listener("[::]:8443").unwrap().to_string(), "[::]:8443");
        assert!(told(listener(":8080")).contains("write \"0.0.0.0:8080\""));
        assert!(told(listener("8080")).contains("\"[::]:8080\""));
        assert!(told(listener("localhost:80")).contains("names are not looked up"));
        assert!(told(listener("127.0.0.1")).contains("add a port: \"127.0.0.1:8080\""));
        assert!(told(listener("::1")).contains("\"[::1]:8080\""));
        assert_eq!(listener("127.0.0.1:0").unwrap().port(), 0);
        assert!(listener("127.0.0.1:65536").is_err());
    }

    #[test]
    fn names_the_right_network_when_host_bits_are_set() {
        assert_eq!(network("10.0.0.0/8").unwrap().to_string(), "10.0.0.0/8");
        assert_eq!(network("192.0.2.7").unwrap().to_string(), "192.0.2.7/32");
        assert_eq!(
            told(network("10.1.2.3/8")),
            "\"10.1.2.3/8\" has bits set beyond its prefix length; the network is \"10.0.0.0/8\"; \
             a single address is \"10.1.2.3\""
        );
        assert!(told(network("::ffff:10.0.0.0/104")).contains("write the IPv4 network"));
        for bad in ["10.0.0.0/33", "10.0.0/8", "app", "", "::/129"] {
            assert!(network(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn reads_upstream_servers() {
        assert_eq!(upstream("App_1:3000").unwrap(), (UpstreamHost::Name("app_1".into()), 3000));
        let service = (UpstreamHost::Service("_http._tcp.app.test".into()), 0);
        assert_eq!(upstream("srv:_http._tcp.App.test").unwrap(), service);
        assert_eq!(upstream("[::1]:80").unwrap(), (UpstreamHost::Ip("::1".parse().unwrap()), 80));
        assert_eq!(upstream("10.0.0.1:80").unwrap(), (UpstreamHost::Ip("10.0.0.1".parse().unwrap()), 80));
    }

    #[test]
    fn says_what_is_wrong_with_an_upstream_server() {
        for (text, said) in [
            ("app", "has no port"),
            ("::1", "put an IPv6 address in brackets"),
            ("[::1]", "has no port"),
            ("[fe80::1%eth0]:80", "not an IPv6 address"),
            ("app:0", "no valid port"),
            ("app:+80", "no valid port"),
            ("app:99999", "no valid port"),
            ("http://app:80/", "such as \"app:80\""),
            ("https://app", "give the upstream tls = {}"),
            ("unix:/run/app.sock", "no valid port"),
            ("10.0.0.256:80", "nor an IPv4 address"),
            ("srv:", "empty"),
            ("srv:_http._tcp.app.test:80", "the name of the service alone"),
            (":80", "empty"),
        ] {
            assert!(told(upstream(text)).contains(said), "{text}: {}", told(upstream(text)));
        }
    }
}
