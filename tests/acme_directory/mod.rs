//! A small ACME server for the tests, for what Debian's Pebble has not got: renewal information,
//! profiles, dns-persist-01, short lives that can be watched, and faults on demand. It believes nothing
//! that it can check.
//!
//! RFC 8555, RFC 8737 (TLS-ALPN-01), RFC 8738 (addresses), RFC 9773 (ARI), draft-ietf-acme-profiles,
//! draft-ietf-acme-dns-persist-02 and, as deployed CAs speak it, -01. It signs for ES256 accounts only,
//! offers no notBefore and notAfter in orders, and forgets everything at its end.
#![allow(dead_code, reason = "every suite uses its own part")]

mod accounts;
mod authority;
mod certificates;
mod faults;
mod http;
mod jws;
mod orders;
mod persist;
mod problem;
mod service;
mod setup;
mod state;
mod validation;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

pub(crate) use faults::{Chain, Endpoint, Fault, What};
pub(crate) use http::rfc3339;
pub(crate) use persist::accounturi;
pub(crate) use problem::Problem;
pub(crate) use setup::{Draft, Profile, Setup, Window};
pub(crate) use state::Issued;

use service::Service;

/// A running server; it ends when dropped.
pub(crate) struct Directory {
    service: Arc<Service>,
    address: SocketAddr,
}

impl Directory {
    /// Listens on a free loopback port.
    pub(crate) fn start(setup: Setup) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let service = Service::new(setup, format!("https://localhost:{}", address.port()));
        http::serve(listener, Arc::clone(&service));
        Self { service, address }
    }

    /// Where a client begins.
    pub(crate) fn url(&self) -> String {
        self.service.url("/directory")
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whom to believe for the connection to the server.
    pub(crate) fn web_root_pem(&self) -> String {
        self.service.web.root_pem()
    }

    /// Whom to believe for the certificates that it issues.
    pub(crate) fn root_pem(&self) -> String {
        self.service.authority.root_pem()
    }

    /// From now on.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Setup)) {
        change(&mut self.service.setup.lock().unwrap());
    }

    /// Something goes wrong when its time has come.
    pub(crate) fn fail(&self, fault: Fault) {
        self.service.state().faults.push(fault);
    }

    /// Every certificate so far, the oldest first.
    pub(crate) fn issued(&self) -> Vec<Issued> {
        self.service.state().certificates.clone()
    }

    /// How many requests there were for that.
    pub(crate) fn count(&self, endpoint: Endpoint) -> usize {
        self.service.state().requests.iter().filter(|seen| **seen == endpoint).count()
    }

    /// How many accounts were made, those that were deactivated among them.
    pub(crate) fn accounts(&self) -> usize {
        self.service.state().accounts.len()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        self.service.ended.store(true, Ordering::Relaxed);
        // The listener looks at the flag when somebody comes.
        let _ = std::net::TcpStream::connect(self.address);
    }
}
