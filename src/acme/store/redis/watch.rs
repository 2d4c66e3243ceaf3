//! Hearing of what others write: a channel of our own, and a look at all versions now and then.
//!
//! Owns the listening connection. What the channel says is a hint, never taken for a fact; a message that
//! is lost is made up for by the next look.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::broadcast;
use tokio::time::{Instant, sleep, timeout_at};

use super::link::{Connection, LinkError};
use super::resp::Reply;
use super::shared::Shared;
use crate::acme::store::{Change, Key, Kind, Version};

/// Listens until nobody has the store any more.
pub(super) fn start(shared: &Arc<Shared>, news: &broadcast::Sender<Change>) {
    let mut watch = Watch { shared: Arc::downgrade(shared), news: news.clone(), seen: None };
    tokio::spawn(async move {
        // Ends with the store; what went wrong was told by the link.
        while let Some(shared) = watch.shared.upgrade() {
            let listening = listen(&shared).await;
            drop(shared);
            if let Ok(connection) = listening {
                let _ = watch.follow(connection).await;
            }
            sleep(RETRY).await;
        }
    });
}

struct Watch {
    shared: Weak<Shared>,
    news: broadcast::Sender<Change>,
    seen: Option<BTreeMap<Key, Version>>,
}

async fn listen(shared: &Shared) -> Result<Connection, LinkError> {
    let mut connection = shared.link().open().await?;
    let channel = shared.layout().channel();
    let words = [&b"SUBSCRIBE"[..], channel.as_bytes()];
    let subscribed = timeout_at(Instant::now() + PATIENCE, connection.ask(&words)).await;
    subscribed.map_err(|_| LinkError::Late(PATIENCE))??;
    Ok(connection)
}

impl Watch {
    /// Takes messages as they come, and looks for itself in between.
    async fn follow(&mut self, mut connection: Connection) -> Result<(), LinkError> {
        // What was said while nobody listened.
        self.look().await?;
        let mut next_look = Instant::now() + LOOK;
        let mut next_ping = Instant::now() + PING;
        let mut heard = Instant::now();
        loop {
            if self.shared.strong_count() == 0 {
                return Ok(());
            }
            match timeout_at(next_look.min(next_ping), connection.receive()).await {
                Ok(message) => {
                    heard = Instant::now();
                    self.hear(&message?);
                }
                Err(_) if Instant::now() >= next_look => {
                    self.look().await?;
                    next_look = Instant::now() + LOOK;
                }
                Err(_) => {
                    // A connection that is dead without a word is noticed by the answer that is missing.
                    if heard.elapsed() > PING * 2 + PATIENCE {
                        return Err(LinkError::Late(PATIENCE));
                    }
                    connection.send(&[b"PING"]).await?;
                    next_ping = Instant::now() + PING;
                }
            }
        }
    }

    fn hear(&mut self, message: &Reply) {
        let Reply::List(parts) = message else { return };
        let [Reply::Bytes(sort), _, Reply::Bytes(text)] = &**parts else { return };
        let key = std::str::from_utf8(text).ok().filter(|_| sort == b"message").and_then(Key::parse);
        if let Some(key) = key {
            // Told again by the next look, which is no harm.
            self.tell(Change::Key(key));
        }
    }

    async fn look(&mut self) -> Result<(), LinkError> {
        let Some(shared) = self.shared.upgrade() else { return Ok(()) };
        let mut now = BTreeMap::new();
        for kind in Kind::ALL {
            now.extend(shared.versions(kind).await?);
        }
        match self.seen.replace(now) {
            None => self.tell(Change::Anything),
            Some(before) => {
                let now = self.seen.iter().flatten();
                let changed =
                    now.filter(|(key, version)| before.get(key) != Some(version)).map(|(key, _)| key);
                let gone = before
                    .keys()
                    .filter(|key| self.seen.as_ref().is_none_or(|seen| !seen.contains_key(*key)));
                changed.chain(gone).for_each(|key| self.tell(Change::Key(key.clone())));
            }
        }
        Ok(())
    }

    fn tell(&self, change: Change) {
        // Nobody may be listening just now.
        let _ = self.news.send(change);
    }
}

/// What the channel missed is found within half a minute.
const LOOK: Duration = Duration::from_secs(30);
const PING: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(5);
/// The link's own back-off comes on top.
const RETRY: Duration = Duration::from_millis(200);
