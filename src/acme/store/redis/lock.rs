//! A lock on the server, with a time after which it frees itself.
//!
//! Owns its renewal. The lease is the fence: it is checked by the server itself in the same step in which
//! something is written under it, so a holder that was asleep for too long writes nothing.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::scripts;
use super::shared::Shared;
use crate::acme::store::lease::Hold;
use crate::acme::store::{Lease, Name, StoreError};

/// What the lock hangs on; dropped, it is given back.
pub(in crate::acme::store) struct Held {
    shared: Weak<Shared>,
    name: Name,
    token: String,
    /// Ends the renewal.
    renewal: tokio::task::AbortHandle,
    place: tokio::runtime::Handle,
}

impl Held {
    /// What the server knows it by.
    pub(super) fn token(&self) -> &str {
        &self.token
    }

    /// Whether it is of that server.
    pub(super) fn is_of(&self, shared: &Arc<Shared>) -> bool {
        std::ptr::eq(self.shared.as_ptr(), Arc::as_ptr(shared))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.renewal.abort();
        let Some(shared) = self.shared.upgrade() else { return };
        let (name, token) = (self.name.clone(), std::mem::take(&mut self.token));
        // Where this fails, the lock frees itself in time.
        self.place.spawn(async move {
            let key = shared.layout().lock(Some(&name));
            let _ = shared.script(scripts::RELEASE, &[key], &[token.as_bytes()]).await;
        });
    }
}

/// Takes the lock, if nobody has it.
pub(super) async fn take(
    shared: &Arc<Shared>,
    name: &Name,
    ttl: Duration,
) -> Result<Option<Lease>, StoreError> {
    let (key, token) = (shared.layout().lock(Some(name)), format!("{:032x}", rand::random::<u128>()));
    let millis = ttl.as_millis().max(1).to_string();
    let asked = Instant::now();
    let words = [&b"SET"[..], key.as_bytes(), token.as_bytes(), b"NX", b"PX", millis.as_bytes()];
    if !shared.said_ok(&words).await? {
        return Ok(None);
    }
    let (sender, held) = watch::channel(true);
    let renewal =
        Renewal { shared: Arc::downgrade(shared), key, token: token.clone(), ttl, good_until: asked + ttl };
    let renewal = tokio::spawn(renewal.run(sender)).abort_handle();
    let (shared, place) = (Arc::downgrade(shared), tokio::runtime::Handle::current());
    let hold = Hold::Server(Held { shared, name: name.clone(), token, renewal, place });
    Ok(Some(Lease::new(name.clone(), held, hold)))
}

struct Renewal {
    shared: Weak<Shared>,
    key: String,
    token: String,
    ttl: Duration,
    /// The server frees it no earlier: counted from before it was asked.
    good_until: Instant,
}

impl Renewal {
    /// Until it is lost.
    async fn run(mut self, held: watch::Sender<bool>) {
        loop {
            sleep((self.ttl / 3).min(self.good_until.saturating_duration_since(Instant::now()))).await;
            let asked = Instant::now();
            if asked >= self.good_until || !self.renew(asked).await {
                // Nobody may be looking.
                let _ = held.send(false);
                return;
            }
        }
    }

    /// Whether it may still be held.
    async fn renew(&mut self, asked: Instant) -> bool {
        let Some(shared) = self.shared.upgrade() else { return false };
        let millis = self.ttl.as_millis().max(1).to_string();
        let (keys, arguments) = ([self.key.clone()], [self.token.as_bytes(), millis.as_bytes()]);
        let renewed = shared.script(scripts::RENEW, &keys, &arguments);
        match tokio::time::timeout_at(self.good_until, renewed).await {
            Ok(Ok(reply)) if reply == *b"ok" => {
                self.good_until = asked + self.ttl;
                true
            }
            Ok(Ok(_)) => false,
            // Tried again until its time is over.
            Ok(Err(_)) | Err(_) => {
                sleep(RETRY.min(self.ttl / 10)).await;
                true
            }
        }
    }
}

const RETRY: Duration = Duration::from_millis(200);
