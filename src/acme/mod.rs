//! Certificates by ACME (RFC 8555).
//!
//! Owns accounts, orders and renewals with one or several CAs, what CAs find when they validate a name, and
//! where all that is kept, in `store`; records in DNS are `dns`'s. Certificates are handed to `tls`; nothing of a request is decided here.

mod account;
mod attempt;
pub mod challenges;
mod client;
mod clock;
pub mod dns;
mod engine;
mod failure;
mod jws;
mod left;
mod order;
mod pair;
mod plans;
mod presenting;
mod record;
mod schedule;
mod settings;
pub mod store;
mod waiting;

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};

pub use challenges::Challenges;
use engine::{Command, Standings};
pub use engine::{Engine, Order, Refused, Standing};
pub use pair::PLACEHOLDER;
pub use settings::{Settings, SettingsError};
use store::Store;

use crate::telemetry::Telemetry;
use crate::tls::Resolver;

/// The engine of a process, from outside.
#[derive(Debug, Clone)]
pub struct Handle {
    settings: watch::Sender<Arc<Settings>>,
    commands: mpsc::Sender<Command>,
    standings: Standings,
}

impl Handle {
    /// Works by `settings` from now on.
    pub fn follow(&self, settings: Settings) {
        // A receiver that is gone belongs to an engine that has ended with the process.
        let _ = self.settings.send(Arc::new(settings));
    }

    /// Does what an operator orders; returns when it is done.
    ///
    /// # Errors
    /// [`Refused`]
    pub async fn order(&self, order: Order) -> Result<String, Refused> {
        let (answer, answered) = oneshot::channel();
        let ended = || Refused::NotNow("the process is about to stop".to_owned());
        self.commands.send(Command { order, answer }).await.map_err(|_| ended())?;
        answered.await.map_err(|_| ended())?
    }

    /// How a host stands.
    #[must_use]
    pub fn standing(&self, host: &str) -> Standing {
        self.standings.of(host)
    }

    /// The names of the issuers.
    #[must_use]
    pub fn issuers(&self) -> Vec<String> {
        self.settings.borrow().issuers.iter().map(|issuer| issuer.config.name.clone()).collect()
    }
}

/// An engine over `store` that serves through `certificates`, and the handle of it. It has to be run.
#[must_use]
pub fn engine(
    settings: Settings,
    store: Arc<dyn Store>,
    challenges: Challenges,
    certificates: Arc<Resolver>,
    telemetry: Arc<Telemetry>,
) -> (Engine, Handle) {
    let (settings, followed) = watch::channel(Arc::new(settings));
    let (commands, obeyed) = mpsc::channel(COMMANDS);
    let engine = Engine::new(followed, obeyed, store, challenges, certificates, telemetry);
    let standings = engine.standings();
    (engine, Handle { settings, commands, standings })
}

/// Operators are few.
const COMMANDS: usize = 8;
