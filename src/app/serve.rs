//! The running proxy: tables, listeners, orders, end.
//!
//! Owns the runtime and what is wired to what. The framework's own `Server` is not used: it would
//! sleep its whole grace period on stop, and own listeners, signals and files in /tmp.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use fluxheim_config::{Config, Listener, exit};
use fluxheim_posture::confine::Reach;
use fluxheim_posture::handoff::ProxyEnd;
use fluxheim_trust::socket::OwnSocket;
use pingora::apps::ServerApp;
use pingora::connectors::ConnectorOptions;
use pingora::proxy::HttpProxy;
use pingora::server::ShutdownWatch;
use pingora::server::configuration::ServerConf;
use tokio::runtime::{Handle, Runtime};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;

use crate::acme::dns::Runners;
use crate::acme::{Challenges, Engine};
use crate::admin;
use crate::admin::seen;
use crate::app::acme::{self, Acme};
use crate::app::certify::Certify;
use crate::app::control::{Control, Evidence, started_now};
use crate::app::drain;
use crate::app::expiry;
use crate::app::export::Exporter;
use crate::app::handoff;
use crate::app::manners::Manners;
use crate::app::orders;
use crate::app::patience;
use crate::app::record::Record;
use crate::app::reload::{self, Built, Reloadable};
use crate::app::rotate::Rotating;
use crate::app::signals::{self, Order};
use crate::app::{Listening, Sockets};
use crate::cli::Configuration;
use crate::edge::Edge;
use crate::edge::deadline::Timed;
use crate::edge::jwks;
use crate::edge::live::Live;
use crate::listen::{
    self, Accepting, Begins, BindError, Bound, Complaints, Door, Handshakes, Manner, Secure, Transport, Turns,
};
use crate::policy::tally::Tally;
use crate::telemetry::Telemetry;
use crate::telemetry::access::AccessLog;
use crate::telemetry::endpoint::Endpoint;
use crate::telemetry::lines::Lines;
use crate::tls::{self, Termination};
use crate::types::{Scheme, VERSION};
use crate::upstream::health;
use crate::upstream::resolve::{self, ResolverError};

/// Why the proxy can't start.
#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error("cannot start a thread or the runtime: {0}")]
    Runtime(#[from] io::Error),
    #[error("{0}")]
    Refused(String),
    #[error("the system gives no randomness for the keys of session tickets")]
    NoRandomness,
    #[error(transparent)]
    Resolver(#[from] ResolverError),
    #[error(transparent)]
    Bind(#[from] BindError),
}

impl StartError {
    const fn exit_code(&self) -> u8 {
        match self {
            Self::Refused(_) => exit::REFUSED,
            // The address may be free, or the system less busy, at the next try.
            Self::Bind(_) => exit::TRY_AGAIN,
            Self::Runtime(_) | Self::Resolver(_) | Self::NoRandomness => exit::INTERNAL,
        }
    }
}

/// What was found and opened before the first thread.
pub(super) struct Given {
    pub supervisor: Option<ProxyEnd>,
    pub evidence: Evidence,
    pub confined_to: Option<Reach>,
    pub sockets: Sockets,
}

/// Serves until told to stop; the value is the exit code.
pub(super) fn run(at: &Configuration, config: Config, given: Given) -> u8 {
    match start(at, config, given) {
        Ok(()) => exit::OK,
        Err(error) => {
            tracing::error!(%error, "cannot start");
            error.exit_code()
        }
    }
}

fn start(at: &Configuration, config: Config, given: Given) -> Result<(), StartError> {
    let Given { supervisor, evidence, confined_to, sockets } = given;
    let Sockets { admin, hook } = sockets;
    // Signals first: one that comes during the start is then an order, not a death.
    let (sender, orders) = signals::listen()?;
    let built = patience::reading(|| reload::build(config));
    let built = built.map_err(StartError::Refused)?;
    let live = &built.live;
    let threads = live.config.server.threads.map_or_else(available_threads, usize::from);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .thread_name("worker")
        .enable_all()
        .build()?;
    let aside = handshake_threads(live.config.tls.offload_threads)?;
    // Also where nobody wants it yet: a reload may.
    let (lines, writer) = Lines::start("access-log", io::stdout())?;
    let telemetry = Arc::new(Telemetry::new(AccessLog::to(lines), evidence.posture.as_ref()));
    telemetry.follow(&live.config);
    let result = runtime.block_on(async {
        let handshakes = aside.as_ref().map(|aside| aside.handle().clone());
        let mut proxy = Proxy::open(at, built, telemetry, threads, handshakes, hook)?;
        proxy.reloadable.confined_to = confined_to;
        proxy.administer(admin, evidence, sender)?;
        proxy.serve(at, orders, supervisor).await
    });
    // What is left past the drain's deadline is cut here; nothing may hold up the exit.
    runtime.shutdown_timeout(std::time::Duration::from_millis(100));
    if let Some(aside) = aside {
        aside.shutdown_background();
    }
    writer.finish();
    result
}

/// Lets those in who run a program for the records of ACME, where there is a socket for them.
fn wait_for_runners(hook: Option<Listening>) -> io::Result<(Option<OwnSocket>, Option<Runners>)> {
    let Some((socket, listener)) = hook else { return Ok((None, None)) };
    let runners = Runners::at(socket.path(), listener)?;
    tracing::info!(socket = %socket.path().display(), "waiting for fluxheim dns-hook");
    Ok((Some(socket), Some(runners)))
}

/// Threads that compute handshakes and nothing else, if any are wanted.
fn handshake_threads(threads: usize) -> io::Result<Option<Runtime>> {
    if threads == 0 {
        return Ok(None);
    }
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(threads).thread_name("handshakes").enable_all().build().map(Some)
}

fn available_threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Everything between the open sockets and the orders.
struct Proxy {
    plain: Arc<Turns<Timed>>,
    secure: Arc<Turns<Timed>>,
    /// Until it runs.
    engine: Option<Engine>,
    reloadable: Reloadable,
    telemetry: Arc<Telemetry>,
    bound: Vec<(Bound, Transport, Listener)>,
    accepting: JoinSet<()>,
    metrics: Vec<Bound>,
    shutdown: (watch::Sender<bool>, ShutdownWatch),
    /// The socket, whose name goes with it.
    admin: Option<(OwnSocket, admin::Handle)>,
    /// Likewise.
    _hook: Option<OwnSocket>,
}

impl Proxy {
    /// Opens every listener or none.
    fn open(
        at: &Configuration,
        built: Built,
        telemetry: Arc<Telemetry>,
        threads: usize,
        aside: Option<Handle>,
        hook: Option<Listening>,
    ) -> Result<Self, StartError> {
        let Built { live, certificates, sights } = built;
        let termination = Termination::new(&live.config, &live.clients.load(), certificates)
            .map_err(|_| StartError::NoRandomness)?;
        let termination = Arc::new(termination);
        let rotating = Rotating::new(&live.config, sights);
        telemetry.metrics.files.follow(rotating.files());
        let seen = Arc::clone(termination.resolver());
        telemetry.metrics.watch_certificates(move || expiry::samples(&seen));
        let resolver = resolve::resolver()?;
        let refreshing = resolve::start(&live.pools, &resolver, &telemetry);
        let fetching = jwks::start(&live);
        let connecting = ConnectorOptions::from_server_conf(&framework(threads));
        let checking = health::start(&live.pools, &connecting);
        let (hook, runners) = wait_for_runners(hook)?;
        let opened = acme::open(&live.config, &resolver, &termination, &telemetry, runners.as_ref());
        let (acme, challenges, engine) = match opened {
            Ok(Some(Acme { engine, handle, challenges })) => (Some(handle), Some(challenges), Some(engine)),
            Ok(None) => (None, None, None),
            Err(mistakes) => return Err(StartError::Refused(mistakes)),
        };
        let crowd = Arc::new(ArcSwap::from_pointee(reload::crowd(&live.config)));
        let handshakes = Arc::new(Handshakes::new(&live.config.limits, Arc::clone(&crowd)));
        let secure =
            Secure { termination: Arc::clone(&termination), handshakes: Arc::clone(&handshakes), aside };
        let bound = bind_public(&live.config, secure)?;
        let metrics =
            live.config.metrics.listen.iter().map(|at| listen::bind(*at)).collect::<Result<_, _>>()?;
        let judged_with_secrets = live.config.has_secrets();
        let record = Arc::new(Record::new(&at.path, &live.config));
        let live = Arc::new(ArcSwap::from_pointee(live));
        let seen = Arc::clone(&live);
        telemetry.metrics.watch_servers(move || seen.load().sample_servers());
        let reloadable = Reloadable {
            live: Arc::clone(&live),
            manners: Manners::default(),
            crowd,
            termination,
            handshakes,
            acme,
            runners,
            resolver,
            telemetry: Arc::clone(&telemetry),
            refreshing,
            fetching,
            connecting,
            checking,
            rotating,
            judged_with_secrets,
            confined_to: None,
            record,
        };
        let clients = Arc::new(Tally::default());
        Ok(Self {
            plain: Arc::new(http_proxy(
                &live,
                &telemetry,
                Scheme::Http,
                threads,
                &clients,
                challenges.clone(),
            )),
            secure: Arc::new(http_proxy(&live, &telemetry, Scheme::Https, threads, &clients, challenges)),
            engine,
            reloadable,
            telemetry,
            bound,
            accepting: JoinSet::new(),
            metrics,
            shutdown: watch::channel(false),
            admin: None,
            _hook: hook,
        })
    }

    /// Serves the admin API, where there is a socket for it.
    fn administer(
        &mut self,
        socket: Option<Listening>,
        evidence: Evidence,
        orders: mpsc::UnboundedSender<Order>,
    ) -> io::Result<()> {
        let Some((socket, listener)) = socket else { return Ok(()) };
        let control = Control {
            live: Arc::clone(&self.reloadable.live),
            termination: Arc::clone(&self.reloadable.termination),
            telemetry: Arc::clone(&self.telemetry),
            record: Arc::clone(&self.reloadable.record),
            orders,
            listeners: self.listeners(&socket),
            evidence,
            started: started_now(),
            acme: self.reloadable.acme.clone().map(|acme| Arc::new(Certify(acme)) as _),
            engine: self.reloadable.acme.clone(),
        };
        let server = admin::Server::new(listener, Arc::new(control), Arc::clone(&self.telemetry))?;
        tracing::info!(socket = %socket.path().display(), "admin socket listening");
        self.admin = Some((socket, server.handle()));
        tokio::spawn(server.run());
        Ok(())
    }

    fn listeners(&self, socket: &OwnSocket) -> Vec<seen::Listener> {
        let listener = |address: String, kind: &str| seen::Listener { address, kind: kind.to_owned() };
        let public =
            self.bound.iter().map(|(bound, by, _)| listener(bound.address.to_string(), by.scheme().as_str()));
        let metrics = self.metrics.iter().map(|bound| listener(bound.address.to_string(), "metrics"));
        let admin = listener(socket.path().display().to_string(), "admin");
        public.chain(metrics).chain(std::iter::once(admin)).collect()
    }

    async fn serve(
        mut self,
        at: &Configuration,
        orders: mpsc::UnboundedReceiver<Order>,
        supervisor: Option<ProxyEnd>,
    ) -> Result<(), StartError> {
        if let Some(mut engine) = self.engine.take() {
            engine.prepare().await;
            self.accept();
            tokio::spawn(engine.run());
        } else {
            self.accept();
        }
        if let Some(exporter) = exporter(&self.reloadable.live, &self.telemetry) {
            tokio::spawn(exporter.run());
        }
        self.telemetry.lifecycle.set_listening();
        if let Some(end) = supervisor {
            handoff::answer(end, Arc::clone(&self.telemetry.lifecycle))?;
        }
        let (answered, telemetry) = (self.reloadable.refreshing.first_answers(), Arc::clone(&self.telemetry));
        tokio::spawn(async move {
            answered.await;
            telemetry.lifecycle.set_resolved();
            tracing::info!(version = VERSION, "ready");
        });
        tokio::spawn(expiry::watch(Arc::clone(self.reloadable.termination.resolver())));
        orders::obey(&mut self.reloadable, at, orders).await;
        self.stop().await;
        Ok(())
    }

    fn accept(&mut self) {
        let all = Door {
            slots: Arc::new(Semaphore::new(self.reloadable.live.load().config.limits.max_connections)),
            own_slots: None,
            clients: Arc::new(Tally::default()),
            per_client: None,
            crowd: Arc::clone(&self.reloadable.crowd),
            complaints: Arc::new(Complaints::default()),
        };
        for (bound, transport, listener) in std::mem::take(&mut self.bound) {
            tracing::info!(address = %bound.address, scheme = %transport.scheme(), "listening");
            let app = Arc::clone(match transport.scheme() {
                Scheme::Http => &self.plain,
                Scheme::Https => &self.secure,
            });
            let door = door_of(&listener, &all);
            let begins = Begins { announced: listener.proxy_protocol, h2c: listener.h2c };
            let live = self.reloadable.live.load();
            let manner = self.reloadable.manners.of(transport.scheme(), &listener, &live.config.limits);
            self.spawn(bound, transport, app, door, begins, manner);
        }
        let endpoint = Arc::new(Endpoint(Arc::clone(&self.telemetry)));
        let slots = Arc::new(Semaphore::new(METRICS_CONNECTIONS));
        for bound in std::mem::take(&mut self.metrics) {
            tracing::info!(address = %bound.address, "metrics listening");
            tokio::spawn(listen::serve_aside(bound, Arc::clone(&endpoint), Arc::clone(&slots)));
        }
    }

    fn spawn<A>(
        &mut self,
        bound: Bound,
        transport: Transport,
        app: Arc<A>,
        door: Door,
        begins: Begins,
        manner: Arc<ArcSwap<Manner>>,
    ) where
        A: ServerApp + Send + Sync + 'static,
    {
        let (telemetry, shutdown) = (Arc::clone(&self.telemetry), self.shutdown.1.clone());
        let accepting = Accepting { transport, app, telemetry, door, shutdown, manner, begins };
        self.accepting.spawn(accepting.run(bound));
    }

    async fn stop(mut self) {
        let live = self.reloadable.live.load_full();
        let end_idle = async {
            self.plain.end_idle();
            self.secure.end_idle();
        };
        let (lifecycle, stop) = (&self.telemetry.lifecycle, &self.shutdown.0);
        let drained = drain::drain(&live.config.server, lifecycle, stop, &mut self.accepting, end_idle).await;
        let answered = async {
            if let Some((_, admin)) = &self.admin {
                admin.answered().await;
            }
        };
        tokio::join!(self.telemetry.spans.flush(LAST_SPANS), answered);
        match drained.cut {
            0 => tracing::info!(took = ?drained.took, "stopped: everything in flight was finished"),
            cut => {
                tracing::warn!(took = ?drained.took, cut, "stopped at drain_timeout with connections still open")
            }
        }
    }
}

fn bind_public(config: &Config, secure: Secure) -> Result<Vec<(Bound, Transport, Listener)>, BindError> {
    let secure = Transport::Tls(Arc::new(secure));
    let plain = config.server.http.iter().map(|at| (at, Transport::Plain));
    let secure = config.server.https.iter().map(|at| (at, secure.clone()));
    let open =
        |(at, transport): (&Listener, Transport)| Ok((listen::bind(at.address)?, transport, at.clone()));
    plain.chain(secure).map(open).collect()
}

/// The way in to `listener`: that to `all` of them, and its own limits where it has any.
fn door_of(listener: &Listener, all: &Door) -> Door {
    let mut door = all.clone();
    door.own_slots = listener.max_connections.map(Semaphore::new).map(Arc::new);
    door.per_client = listener.max_connections_per_client;
    if door.per_client.is_some() {
        door.clients = Arc::new(Tally::default());
    }
    door
}

/// The framework's own settings.
fn framework(threads: usize) -> ServerConf {
    ServerConf {
        threads,
        max_retries: MAX_ATTEMPTS,
        upstream_keepalive_pool_size: KEPT,
        // Each upstream with TLS brings its own authorities. Without this the framework would read the system's,
        // which are out of our reach, and panic.
        ca_file: Some("/dev/null".to_owned()),
        ..ServerConf::default()
    }
}

/// What sends spans.
fn exporter(live: &Arc<ArcSwap<Live>>, telemetry: &Arc<Telemetry>) -> Option<Exporter> {
    let orders = telemetry.take_orders()?;
    Some(Exporter { live: Arc::clone(live), telemetry: Arc::clone(telemetry), orders, failing: false })
}

fn http_proxy(
    live: &Arc<ArcSwap<Live>>,
    telemetry: &Arc<Telemetry>,
    scheme: Scheme,
    threads: usize,
    clients: &Arc<Tally>,
    challenges: Option<Challenges>,
) -> Turns<Timed> {
    let clients = Arc::clone(clients);
    let edge = Edge { live: Arc::clone(live), telemetry: Arc::clone(telemetry), scheme, clients, challenges };
    let limits = live.load().config.limits.clone();
    let mut proxy = HttpProxy::new(edge, Arc::new(framework(threads)));
    proxy.handle_init_modules();
    proxy.server_options = Some(tls::server_options(&limits));
    proxy.h2_options = Some(tls::h2_options(&limits));
    let live = Arc::clone(live);
    Turns::new(Timed(Arc::new(proxy)), move || live.load().config.limits.keepalive_timeout)
}

/// What the last spans may take: well within what the stop budget leaves after the drain.
const LAST_SPANS: Duration = Duration::from_millis(300);
/// Beyond what any upstream's `retry.attempts` may be, which is what counts.
const MAX_ATTEMPTS: usize = 16;
/// Idle upstream connections kept, over all upstreams of a scheme.
const KEPT: usize = 1024;
/// Scrapers and probes; the public limit must not starve them, nor they the process.
const METRICS_CONNECTIONS: usize = 64;
