//! What a request carries from stage to stage.
//!
//! Owns the order: a stage can read only what the stages before it have left. Made once a request.

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant, SystemTime};

use fluxheim_config::Policy;
use http::header::HeaderName;
use http::{HeaderValue, StatusCode};
use pingora::{Error, ErrorType};

use crate::edge::admit::Admitted;
use crate::edge::cause::Failure;
use crate::edge::client::Known;
use crate::edge::concurrency::Held;
use crate::edge::deadline;
use crate::edge::finish::{self, Asked};
use crate::edge::identity::Identity;
use crate::edge::intercept::Instead;
use crate::edge::live::Live;
use crate::edge::timing::Timing;
use crate::policy::tally::Place;
use crate::policy::{Permit, Rules};
use crate::route::{NoRoute, Routed};
use crate::telemetry::Telemetry;
use crate::telemetry::lifecycle::RequestGuard;
use crate::types::{ClientIp, Path, PeerIp, Scheme, TlsFacts};
use crate::upstream::{Lease, Pool, Tunnel, Turn};

/// One request's state.
#[derive(Debug)]
pub struct Ctx {
    pub live: Arc<Live>,
    pub began: SystemTime,
    pub started: Instant,
    stage: Stage,
    /// Vhost and route, known from routing on, even when the request is then denied.
    pub vhost: Option<usize>,
    pub route: Option<usize>,
    pub conn: Option<ConnInfo>,
    /// Likewise; `None` without TLS.
    pub tls: Option<Arc<TlsFacts>>,
    /// What the vhost knows of the client's certificate, from admission on.
    pub client: Known,
    /// Known from the head on.
    pub identity: Option<Identity>,
    pub timing: Timing,
    /// What the upstream is told about who asks.
    pub proven: Proven,
    /// What the groups of the regular expression of the route matched, if anything needs it.
    pub captures: Vec<Range<usize>>,
    /// The path to ask for instead of the requested one.
    pub rewritten: Option<Path>,
    /// Why the request failed, for the logs and metrics.
    pub failure: Option<Failure>,
    /// What is sent instead of the body that the upstream sends.
    pub(super) instead: Option<Instead>,
    /// What its access line needs if it is never finished.
    pub(super) asked: Option<Box<Asked>>,
    pub telemetry: Arc<Telemetry>,
    /// Status of the head that was sent to the client, 0 before.
    status: AtomicU16,
    /// `RateLimit`, where a rule holds.
    pub quota: Option<HeaderValue>,
    /// Given back when the request ends.
    pub held: Option<Held>,
    /// Among the requests of its client; likewise.
    pub place: Option<Place>,
    /// When it is to end at the latest.
    pub due: Option<tokio::time::Instant>,
    /// Whether what it waits for is to end so early that it does: not where it may be upgraded.
    pub hurried: bool,
    _guard: RequestGuard,
}

impl Drop for Ctx {
    fn drop(&mut self) {
        finish::cut(self);
    }
}

/// What the connection says about a request.
#[derive(Debug, Clone, Copy)]
pub struct ConnInfo {
    pub peer: PeerIp,
    pub client: ClientIp,
    pub scheme: Scheme,
    /// Port of the listener.
    pub port: u16,
}

impl ConnInfo {
    /// What stands in for a connection whose address the kernel no longer knows.
    pub const UNKNOWN: IpAddr = IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);
}

/// Request fields that say who asks, once that is proven.
pub type Proven = Vec<(HeaderName, HeaderValue)>;

#[derive(Debug)]
enum Stage {
    New,
    Admitted(Admitted),
    Permitted(Admitted, Permit),
    Proxying(Box<Proxying>),
}

/// A permitted request on its way to an upstream.
#[derive(Debug)]
pub struct Proxying {
    pub admitted: Admitted,
    pub permit: Permit,
    pub pool: Arc<Pool>,
    pub turn: Turn,
    /// The place at the server of the attempt that is under way.
    pub lease: Option<Lease>,
    /// Attempts so far.
    pub attempts: u8,
    /// Whether the next attempt sends what was sent before.
    pub resend: bool,
    /// Whether the response that came is not wanted.
    pub refused: bool,
    /// The address tried last.
    pub address: Option<SocketAddr>,
    /// Whether that connection should end with this request.
    pub last_use: bool,
    /// Where it may switch protocols.
    pub tunnel: Option<Arc<Tunnel>>,
}

impl Ctx {
    /// A request whose head was just read.
    #[must_use]
    pub fn new(live: Arc<Live>, telemetry: Arc<Telemetry>) -> Self {
        let guard = telemetry.lifecycle.request();
        Self {
            live,
            began: SystemTime::now(),
            started: Instant::now(),
            stage: Stage::New,
            vhost: None,
            route: None,
            conn: None,
            tls: None,
            client: Known::default(),
            identity: None,
            timing: Timing::default(),
            proven: Proven::new(),
            captures: Vec::new(),
            rewritten: None,
            failure: None,
            instead: None,
            asked: None,
            telemetry,
            status: AtomicU16::new(0),
            quota: None,
            held: None,
            place: None,
            due: None,
            hurried: false,
            _guard: guard,
        }
    }

    /// Notes the status of a head that is about to be sent.
    pub(super) fn answers(&self, status: StatusCode) {
        if !status.is_informational() || status == StatusCode::SWITCHING_PROTOCOLS {
            self.status.store(status.as_u16(), Ordering::Relaxed);
        }
    }

    /// The status that was sent, or was about to be; `None` before.
    #[must_use]
    pub fn answered(&self) -> Option<u16> {
        Some(self.status.load(Ordering::Relaxed)).filter(|status| *status != 0)
    }

    /// Leaves what admission and routing found.
    pub fn admit(&mut self, admitted: Admitted, routed: Result<Routed, NoRoute>) {
        self.vhost = routed.map_or_else(NoRoute::vhost, |routed| Some(routed.vhost()));
        self.route = routed.ok().map(|routed| routed.route());
        self.stage = Stage::Admitted(admitted);
    }

    /// The path to ask an upstream or a folder for.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.rewritten.as_ref().or_else(|| self.admitted().map(|admitted| &admitted.path))
    }

    /// The settings that hold for this request as far as it has come.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        self.live.policy(self.vhost, self.route)
    }

    /// What is left of the time of a request that is hurried.
    #[must_use]
    pub fn time_left(&self) -> Option<Duration> {
        let due = self.due.filter(|_| self.hurried);
        due.map(|due| due.saturating_duration_since(tokio::time::Instant::now()))
    }

    /// Whether its time is over.
    #[must_use]
    pub fn is_overdue(&self) -> bool {
        self.due.is_some_and(|due| tokio::time::Instant::now() >= due)
    }

    /// After a 101 the connection is no request any more, and has no end.
    pub fn switched(&mut self) {
        self.due = None;
        deadline::set(None);
    }

    /// The compiled policies that hold for this request as far as it has come.
    #[must_use]
    pub fn rules(&self) -> &Rules {
        self.live.rules(self.vhost, self.route)
    }

    /// Leaves the permit.
    pub fn permit(&mut self, permit: Permit) {
        self.timing.permit();
        self.stage = match std::mem::replace(&mut self.stage, Stage::New) {
            Stage::Admitted(admitted) => Stage::Permitted(admitted, permit),
            other => other,
        };
    }

    /// Leaves the upstream to try.
    pub fn proxy(&mut self, pool: Arc<Pool>, turn: Turn) {
        self.stage = match std::mem::replace(&mut self.stage, Stage::New) {
            Stage::Permitted(admitted, permit) => Stage::Proxying(Box::new(Proxying {
                admitted,
                permit,
                pool,
                turn,
                lease: None,
                attempts: 0,
                resend: false,
                refused: false,
                address: None,
                last_use: false,
                tunnel: None,
            })),
            other => other,
        };
    }

    /// The admitted head, from admission on.
    #[must_use]
    pub fn admitted(&self) -> Option<&Admitted> {
        match &self.stage {
            Stage::New => None,
            Stage::Admitted(admitted) | Stage::Permitted(admitted, _) => Some(admitted),
            Stage::Proxying(proxying) => Some(&proxying.admitted),
        }
    }

    /// The upstream stage.
    ///
    /// # Errors
    /// An internal error when a hook asks before the request was permitted.
    pub fn proxying(&mut self) -> pingora::Result<&mut Proxying> {
        match &mut self.stage {
            Stage::Proxying(proxying) => Ok(proxying),
            _ => Error::e_explain(
                ErrorType::InternalError,
                "a request reached the upstream stage without a permit",
            ),
        }
    }

    /// The upstream stage, if the request came that far.
    #[must_use]
    pub fn upstream(&self) -> Option<&Proxying> {
        match &self.stage {
            Stage::Proxying(proxying) => Some(proxying),
            _ => None,
        }
    }
}
