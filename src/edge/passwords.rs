//! Judging passwords without being brought down by it.
//!
//! Owns how many hashes are worked at once (each takes megabytes and a core for a while), how many may
//! wait, and for how long a password that fitted needs no work again. What is remembered is a keyed
//! digest of name, password and stored hash: no password can be read from it, and none stands for
//! another user's.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, watch};

use crate::policy::basic::Credentials;
use crate::policy::basic::users::{Hash, Users};
use crate::policy::keyed::{Digest, DigestKey, NoRandomness};
use crate::policy::tally::{Place, Tally};
use crate::types::Client;

/// The one place where hashes are worked.
#[derive(Debug, Clone)]
pub(super) struct Passwords(Arc<Desk>);

#[derive(Debug)]
struct Desk {
    key: DigestKey,
    slots: Semaphore,
    clients: Arc<Tally>,
    recent: Mutex<Recent>,
    /// What is being worked, or waits for it: whoever asks the same waits for the same answer.
    working: Mutex<HashMap<Digest, Answer>>,
}

/// `None` until it is known.
type Answer = watch::Receiver<Option<bool>>;

/// What came of looking at credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Judged {
    Fits,
    Wrong,
    /// Too many are waiting, of all clients or of this one.
    Busy,
}

impl Passwords {
    /// Room for as many at once as leaves half the cores to requests.
    ///
    /// # Errors
    /// The system has no randomness to give.
    pub(super) fn new() -> Result<Self, NoRandomness> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Self(Arc::new(Desk {
            key: DigestKey::random()?,
            slots: Semaphore::new((cores / 2).clamp(1, MOST_AT_ONCE)),
            clients: Arc::default(),
            recent: Mutex::default(),
            working: Mutex::default(),
        })))
    }

    /// Whether `credentials` are those of one of `users`.
    pub(super) async fn judge(&self, users: &Users, credentials: Credentials, client: Client) -> Judged {
        let (hash, known) = users.find(credentials.user());
        let digest = credentials.digest(&self.0.key, hash);
        if lock(&self.0.recent).holds(&digest, Instant::now()) {
            return Judged::Fits;
        }
        let Some(mut answer) = self.answer(digest, hash, known, credentials, client) else {
            return Judged::Busy;
        };
        match answer.wait_for(Option::is_some).await.map(|fits| *fits) {
            Ok(Some(true)) => Judged::Fits,
            Ok(_) | Err(_) => Judged::Wrong,
        }
    }

    /// The answer to wait for; `None` when there is no room for the question.
    fn answer(
        &self,
        digest: Digest,
        hash: &Hash,
        known: bool,
        credentials: Credentials,
        client: Client,
    ) -> Option<Answer> {
        let mut working = lock(&self.0.working);
        let full = working.len() >= MOST_WAITING;
        let Entry::Vacant(place) = working.entry(digest) else { return working.get(&digest).cloned() };
        if full {
            return None;
        }
        let own = self.0.clients.enter(client, MOST_OF_A_CLIENT)?;
        let (tell, answer) = watch::channel(None);
        place.insert(answer.clone());
        let work =
            Work { desk: Arc::clone(&self.0), digest, hash: hash.clone(), known, credentials, _own: own };
        // Of its own: it is worked to its end when the client leaves, and others may wait for it.
        tokio::spawn(work.run(tell));
        Some(answer)
    }
}

struct Work {
    desk: Arc<Desk>,
    digest: Digest,
    hash: Hash,
    /// Whether the hash is a user's, and not the one for names that nobody has.
    known: bool,
    credentials: Credentials,
    _own: Place,
}

impl Work {
    async fn run(self, tell: watch::Sender<Option<bool>>) {
        let Self { desk, digest, hash, known, credentials, _own } = self;
        let Ok(slot) = desk.slots.acquire().await else { return };
        let work = tokio::task::spawn_blocking(move || hash.fits(credentials.password()));
        let fits = work.await.unwrap_or(false) && known;
        drop(slot);
        if fits {
            lock(&desk.recent).insert(digest, Instant::now());
        }
        lock(&desk.working).remove(&digest);
        tell.send_replace(Some(fits));
    }
}

/// Nothing in here leaves a table half changed.
fn lock<T>(table: &Mutex<T>) -> MutexGuard<'_, T> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Digests that fitted, the oldest first.
#[derive(Debug, Default)]
struct Recent {
    since: HashMap<Digest, Instant>,
    order: VecDeque<Digest>,
}

impl Recent {
    fn holds(&self, digest: &Digest, now: Instant) -> bool {
        self.since.get(digest).is_some_and(|since| now.duration_since(*since) < KEPT)
    }

    fn insert(&mut self, digest: Digest, now: Instant) {
        if self.since.insert(digest, now).is_some() {
            self.order.retain(|kept| *kept != digest);
        }
        self.order.push_back(digest);
        while self.order.len() > MOST_KEPT || self.oldest_is_over(now) {
            let Some(oldest) = self.order.pop_front() else { break };
            self.since.remove(&oldest);
        }
    }

    fn oldest_is_over(&self, now: Instant) -> bool {
        self.order.front().is_some_and(|oldest| !self.holds(oldest, now))
    }
}

/// Hashes worked at once: with the most memory that one may take, 2 GiB.
const MOST_AT_ONCE: usize = 8;
/// Those at work among them.
const MOST_WAITING: usize = 64;
/// Different ones: those of a page that is loading are one question. A whole office may be behind one
/// address.
const MOST_OF_A_CLIENT: usize = 16;
/// How long a password that fitted needs no work; a removed user is out at the next reload.
const KEPT: Duration = Duration::from_secs(300);
const MOST_KEPT: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    use base64::Engine;
    use http::{HeaderMap, header};

    fn credentials(user: &str, password: &str) -> Credentials {
        let text = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, format!("Basic {text}").parse().unwrap());
        Credentials::of(&headers).unwrap()
    }

    fn client(last: u8) -> Client {
        Client::of([10, 0, 0, last].into(), 64)
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn tells_users_apart_also_from_memory() {
        let hash = |password: &[u8]| crate::policy::basic::users::hash(password).unwrap();
        let users = Users::parse(format!("ann:{}\nbob:{}\n", hash(b"a"), hash(b"b")).as_bytes()).unwrap();
        let passwords = Passwords::new().unwrap();
        for _ in 0..2 {
            for (user, password, judged) in [
                ("ann", "a", Judged::Fits),
                ("bob", "b", Judged::Fits),
                ("ann", "b", Judged::Wrong),
                ("bob", "a", Judged::Wrong),
                ("eve", "a", Judged::Wrong),
            ] {
                let now = passwords.judge(&users, credentials(user, password), client(1)).await;
                assert_eq!(now, judged, "{user} {password}");
            }
        }
        assert_eq!(lock(&passwords.0.recent).since.len(), 2);
        let changed = Users::parse(format!("ann:{}\n", hash(b"new")).as_bytes()).unwrap();
        assert_eq!(passwords.judge(&changed, credentials("ann", "a"), client(1)).await, Judged::Wrong);
        assert!(lock(&passwords.0.working).is_empty());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn one_client_has_so_many_places_and_the_same_question_takes_one() {
        let hash = crate::policy::basic::users::hash(b"a").unwrap();
        let users = Users::parse(format!("ann:{hash}\n").as_bytes()).unwrap();
        let passwords = Passwords::new().unwrap();
        // Nothing is worked while nobody has a slot to give.
        let slots = passwords.0.slots.available_permits();
        let held = passwords.0.slots.acquire_many(u32::try_from(slots).unwrap()).await.unwrap();
        let ask = |password: &str, last: u8| {
            let (hash, known) = users.find("ann");
            let credentials = credentials("ann", password);
            let digest = credentials.digest(&passwords.0.key, hash);
            passwords.answer(digest, hash, known, credentials, client(last))
        };
        let waiting: Vec<_> = (0..MOST_OF_A_CLIENT).map(|n| ask(&n.to_string(), 1).unwrap()).collect();
        assert!(ask("more", 1).is_none());
        assert!(ask("0", 1).is_some(), "the same question needs no place");
        let others = (2..=255_u8).filter(|last| ask(&format!("of {last}"), *last).is_some()).count();
        assert_eq!(waiting.len() + others, MOST_WAITING);
        assert_eq!(passwords.judge(&users, credentials("ann", "b"), client(9)).await, Judged::Busy);
        passwords.0.slots.close();
        drop(held);
    }

    #[test]
    fn what_is_remembered_is_bounded_and_ends() {
        let (mut recent, now) = (Recent::default(), Instant::now());
        let digest = |n: usize| {
            let mut digest = [0; 32];
            digest[..8].copy_from_slice(&n.to_be_bytes());
            digest
        };
        (0..MOST_KEPT + 10).for_each(|n| recent.insert(digest(n), now));
        assert_eq!((recent.since.len(), recent.order.len()), (MOST_KEPT, MOST_KEPT));
        assert!(!recent.holds(&digest(9), now) && recent.holds(&digest(10), now));
        assert!(!recent.holds(&digest(10), now + KEPT));
        recent.insert(digest(0), now + KEPT);
        assert_eq!(recent.order.len(), 1);
    }
}
