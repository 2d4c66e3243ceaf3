//! Sockets: bind, accept, TLS handshake, and hand each connection to an HTTP application.
//!
//! Owns connection counting, connection limits, the accept loops' end, and the gate that lets only
//! well-framed HTTP/1.1 through. Knows no routes. The loops stop at the shutdown signal after taking what the kernel has already accepted.

mod beginning;
mod calm;
mod closing;
mod door;
mod gate;
mod handshake;
mod handshakes;
mod opening;
mod secured;
mod socket;
mod turns;
mod wrapped;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use nix::sys::socket::{setsockopt, sockopt};
use pingora::apps::ServerApp;
use pingora::protocols::{ALPN, IO, Stream};
use pingora::server::ShutdownWatch;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::telemetry::Telemetry;
use crate::telemetry::lifecycle::{ConnectionGuard, OpeningGuard};
use crate::tls::Termination;
use crate::types::Scheme;
use calm::Calm;
use door::{Admission, Told};
pub use door::{Complaints, Crowd, Door};
pub use gate::Pace;
use gate::{Gate, Terms};
pub use handshakes::Handshakes;
use opening::Opening;
use secured::Secured;
pub use socket::{Socket, Taking};
pub use turns::Turns;

/// A socket that is bound and listening.
#[derive(Debug)]
pub struct Bound {
    pub address: SocketAddr,
    listener: TcpListener,
}

/// Why a listener can't be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}{}", hint(source))]
pub struct BindError {
    pub address: SocketAddr,
    pub source: io::Error,
}

/// Binds and listens. Must run inside the runtime.
///
/// # Errors
/// [`BindError`] with the address and the way out.
pub fn bind(address: SocketAddr) -> Result<Bound, BindError> {
    let fail = |source| BindError { address, source };
    let socket = if address.is_ipv6() { TcpSocket::new_v6() } else { TcpSocket::new_v4() }.map_err(fail)?;
    socket.set_reuseaddr(true).map_err(fail)?;
    if address.is_ipv6() {
        // [::]:80 and 0.0.0.0:80 are two listeners, whatever net.ipv6.bindv6only says.
        setsockopt(&socket, sockopt::Ipv6V6Only, &true).map_err(|errno| fail(errno.into()))?;
    }
    socket.bind(address).map_err(fail)?;
    let listener = socket.listen(BACKLOG).map_err(fail)?;
    let address = listener.local_addr().map_err(fail)?;
    Ok(Bound { address, listener })
}

fn hint(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::AddrInUse => "; another program listens there: stop it or choose another port",
        io::ErrorKind::PermissionDenied => {
            "; ports below 1024 need net.ipv4.ip_unprivileged_port_start=0: listen on 8080 or 8443 and publish those"
        }
        io::ErrorKind::AddrNotAvailable => "; no interface has this address: use 0.0.0.0 or [::]",
        _ => "",
    }
}

/// What a plain or TLS listener does before HTTP starts.
#[derive(Clone)]
pub enum Transport {
    /// Straight to HTTP.
    Plain,
    /// A handshake first.
    Tls(Arc<Secure>),
}

/// What TLS listeners share.
#[derive(Debug)]
pub struct Secure {
    pub termination: Arc<Termination>,
    pub handshakes: Arc<Handshakes>,
    /// Where handshakes are computed; `None` is with everything else.
    pub aside: Option<Handle>,
}

impl Transport {
    /// The scheme of requests that come this way.
    #[must_use]
    pub const fn scheme(&self) -> Scheme {
        match self {
            Self::Plain => Scheme::Http,
            Self::Tls(..) => Scheme::Https,
        }
    }
}

/// Everything an accept loop shares with the connections it starts.
pub struct Accepting<A> {
    pub transport: Transport,
    pub app: Arc<A>,
    pub telemetry: Arc<Telemetry>,
    /// At its limits the loop waits and the kernel's backlog fills.
    pub door: Door,
    pub shutdown: ShutdownWatch,
    /// For connections accepted from now on; a reload replaces it.
    pub manner: Arc<ArcSwap<Manner>>,
    pub begins: Begins,
}

/// What connections of a listener may begin with.
#[derive(Debug, Clone, Copy, Default)]
pub struct Begins {
    /// A PROXY protocol header, always.
    pub announced: bool,
    /// HTTP/2, without having agreed on it.
    pub h2c: bool,
}

/// What clients of a connection have to keep to.
#[derive(Debug, Clone, Copy)]
pub struct Manner {
    pub pace: Pace,
    pub patience: Patience,
}

/// How long a client may keep us waiting.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// For its first bytes, once the connection stands.
    pub opening: Duration,
    /// For taking what we write.
    pub writing: Taking,
}

impl<A: ServerApp + Send + Sync + 'static> Accepting<A> {
    /// Accepts until shutdown, then takes what is left in the backlog and returns.
    pub async fn run(self, bound: Bound) {
        loop {
            // A clone, so that what connections get has not seen the signal: they wait for it too.
            let mut shutdown = self.shutdown.clone();
            tokio::select! {
                biased;
                () = stopping(&mut shutdown) => break,
                accepted = bound.listener.accept() => self.take(bound.address, accepted).await,
            }
        }
        self.empty_backlog(&bound).await;
    }

    /// Clients whose handshake the kernel finished before we stopped are served, not reset. Only the
    /// closed door makes an end of it: a client whose response says `close` is back at once.
    async fn empty_backlog(&self, bound: &Bound) {
        if let Err(error) = closing::turn_away(&bound.listener) {
            // gVisor, perhaps. Those that come between the last look and the close will be reset.
            tracing::warn!(address = %bound.address, %error, "cannot turn new clients away while stopping");
        }
        let until = Instant::now() + LAST_ARRIVALS;
        // With a budget, the runtime would say after many of them that nobody is there.
        tokio::task::unconstrained(async {
            while let Ok(accepted) = tokio::time::timeout_at(until, bound.listener.accept()).await {
                if let Ok((tcp, _)) = &accepted {
                    // Fails where turning away did, and for a client that has gone.
                    let _ = closing::hear(tcp);
                }
                self.take(bound.address, accepted).await;
            }
        })
        .await;
    }

    async fn take(&self, address: SocketAddr, accepted: io::Result<(TcpStream, SocketAddr)>) {
        match accepted {
            // A slot only once there is somebody to give it to: another listener may need it.
            Ok((_, peer)) if self.begins.announced && !self.door.trusts(peer.ip()) => {
                tracing::debug!(%peer, "closed: only trusted_proxies may speak the PROXY protocol here");
                self.telemetry.metrics.connection_refused("proxy_protocol");
            }
            Ok((tcp, peer)) => match self.door.admit(peer.ip()).await {
                Some(admission) => self.start(tcp, peer, admission),
                None => self.telemetry.metrics.connection_refused("client_limit"),
            },
            Err(error) => self.accept_failed(address, &error).await,
        }
    }

    async fn accept_failed(&self, address: SocketAddr, error: &io::Error) {
        self.telemetry.metrics.accept_errors.inc();
        tracing::warn!(%address, %error, "accept failed");
        // Out of descriptors or memory: trying again at once would only spin.
        if !matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted) {
            tokio::time::sleep(ACCEPT_PAUSE).await;
        }
    }

    fn start(&self, tcp: TcpStream, peer: SocketAddr, admission: Admission) {
        // Responses are written whole; waiting for more to send would only add delay.
        let _ = tcp.set_nodelay(true);
        let manner = **self.manner.load();
        let connection = Connection {
            app: Arc::clone(&self.app),
            telemetry: Arc::clone(&self.telemetry),
            shutdown: self.shutdown.clone(),
            opening: self.telemetry.lifecycle.opening(),
            manner,
            begins: self.begins,
            door: self.begins.announced.then(|| self.door.clone()),
        };
        let counted = self.telemetry.connection_opened(self.transport.scheme());
        let held = Held { counted, told: None, _admission: admission };
        let socket = Socket::new(tcp, peer, SystemTime::now(), manner.patience.writing, Some(held));
        let transport = self.transport.clone();
        tokio::spawn(connection.serve(socket, peer, transport));
    }
}

/// What a connection takes up until its last byte has arrived.
#[derive(Debug)]
struct Held {
    counted: ConnectionGuard,
    told: Option<Told>,
    _admission: Admission,
}

/// One client connection.
struct Connection<A> {
    app: Arc<A>,
    telemetry: Arc<Telemetry>,
    shutdown: ShutdownWatch,
    opening: OpeningGuard,
    manner: Manner,
    begins: Begins,
    /// For clients that a proxy tells of.
    door: Option<Door>,
}

impl<A: ServerApp + Send + Sync + 'static> Connection<A> {
    async fn serve(self, socket: Socket, peer: SocketAddr, transport: Transport) {
        let (app, shutdown) = (Arc::clone(&self.app), self.shutdown.clone());
        // On the heap, and gone once it is done: a handshake takes as much memory as all that a connection
        // needs later, and would keep it for as long as that lives.
        let mut next = Box::pin(self.open(socket, peer, transport)).await;
        while let Some(stream) = next {
            next = app.process_new(stream, &shutdown).await;
        }
    }

    /// What comes before HTTP; `None` when it ends there.
    async fn open(self, mut socket: Socket, mut peer: SocketAddr, transport: Transport) -> Option<Stream> {
        let plain = matches!(transport, Transport::Plain);
        if self.begins.announced || (self.begins.h2c && plain) {
            peer = self.begin(&mut socket, peer, plain).await?;
        }
        match transport {
            Transport::Plain => Some(self.http(socket, peer, Scheme::Http)),
            Transport::Tls(secure) if secure.handshakes.permit(peer.ip()) => {
                self.handshake(&secure, socket, peer).await
            }
            Transport::Tls(_) => {
                self.telemetry.metrics.connection_refused("handshake_rate");
                None
            }
        }
    }

    /// What the framework reads from. HTTP/2 has no framing in common with what the gate judges, and a
    /// watch of its own; over plain TCP it is taken where the listener says so, and else its preface is
    /// refused like any other version.
    fn http<S: IO + 'static>(self, stream: S, peer: SocketAddr, scheme: Scheme) -> Stream {
        let is_h2 = matches!(stream.selected_alpn_proto(), Some(ALPN::H2));
        let stream = Opening::within(stream, self.manner.patience.opening, self.opening);
        let terms = Terms { pace: self.manner.pace, telemetry: self.telemetry, scheme, peer };
        if is_h2 {
            return Box::new(Calm::new(stream, terms));
        }
        Box::new(Gate::new(stream, terms))
    }

    async fn handshake(self, secure: &Secure, socket: Socket, peer: SocketAddr) -> Option<Stream> {
        let mut shutdown = self.shutdown.clone();
        let shaken = shake(secure, socket, &self.telemetry);
        let outcome = tokio::select! {
            outcome = tokio::time::timeout(secure.termination.patience(), shaken) => outcome.ok(),
            // No request yet, so none to lose; but a client that is quick about it is still served.
            () = async { stopping(&mut shutdown).await; tokio::time::sleep(LAST_OPENINGS).await } => None,
        };
        let failed = match outcome {
            Some(Ok(None)) => {
                tracing::debug!(%peer, "a CA validated a name by TLS-ALPN-01");
                self.telemetry.metrics.handshake("ok");
                return None;
            }
            Some(Ok(Some(stream))) => {
                self.telemetry.metrics.handshake("ok");
                self.telemetry.metrics.tls_session(stream.facts());
                return Some(self.http(stream, peer, Scheme::Https));
            }
            Some(Err(error)) => {
                tracing::debug!(%peer, %error, "TLS handshake failed");
                "failed"
            }
            None => {
                tracing::debug!(%peer, "TLS handshake timed out");
                "timeout"
            }
        };
        self.telemetry.metrics.handshake(failed);
        None
    }
}

/// On threads of their own, where there are any: dropping what waits for them ends them too.
async fn shake(
    secure: &Secure,
    socket: Socket,
    telemetry: &Arc<Telemetry>,
) -> io::Result<Option<Secured<Socket>>> {
    let Some(aside) = &secure.aside else {
        return handshake::shake(&secure.termination, socket, telemetry).await;
    };
    let (termination, telemetry) = (Arc::clone(&secure.termination), Arc::clone(telemetry));
    let mut tasks = JoinSet::new();
    tasks.spawn_on(async move { handshake::shake(&termination, socket, &telemetry).await }, aside);
    match tasks.join_next().await {
        Some(outcome) => outcome.map_err(io::Error::other)?,
        None => Err(io::Error::other("no handshake was begun")),
    }
}

/// Serves `app` until the process ends, uncounted: the operator's listener outlives a drain.
pub async fn serve_aside<A: ServerApp + Send + Sync + 'static>(
    bound: Bound,
    app: Arc<A>,
    slots: Arc<Semaphore>,
) {
    // Never raised; the sender lives as long as the loop.
    let (_never, shutdown) = tokio::sync::watch::channel(false);
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
        let Ok((tcp, peer)) = bound.listener.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let (app, shutdown) = (Arc::clone(&app), shutdown.clone());
        let taking = Taking { patience: ASIDE, min_rate: None };
        let socket = Socket::new(tcp, peer, SystemTime::now(), taking, None);
        tokio::spawn(async move {
            // One deadline for all of it: idle sockets must not keep probes out.
            let _ = tokio::time::timeout(ASIDE, app.process_new(Box::new(socket), &shutdown)).await;
            drop(slot);
        });
    }
}

/// Resolves once the shutdown signal is up, or when nobody is left to raise it.
async fn stopping(shutdown: &mut ShutdownWatch) {
    let _ = shutdown.wait_for(|stop| *stop).await;
}

/// As nginx and HAProxy ask for; the kernel cuts it to net.core.somaxconn.
const BACKLOG: u32 = 4096;

/// What a connection to the operator's listener may take in all.
const ASIDE: Duration = Duration::from_secs(5);

/// What a connection may still take to its first request once we are stopping.
pub const LAST_OPENINGS: Duration = Duration::from_millis(500);

/// What a TCP handshake under way may still take once we are stopping; also long enough for a request
/// on a kept connection that was sent before the client saw us close. Far below a second.
const LAST_ARRIVALS: Duration = Duration::from_millis(50);

/// How long an accept loop rests when the system is out of something.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn binds_one_port_of_both_families() {
        let v4 = bind("0.0.0.0:0".parse().unwrap()).unwrap();
        let v6 = bind(format!("[::]:{}", v4.address.port()).parse().unwrap()).unwrap();
        assert_eq!(v4.address.port(), v6.address.port());
    }

    #[tokio::test]
    async fn says_how_to_mend_a_taken_address() {
        let taken = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let error = bind(taken.address).unwrap_err().to_string();
        assert!(
            error.contains(&taken.address.to_string()) && error.contains("choose another port"),
            "{error}"
        );
    }
}
