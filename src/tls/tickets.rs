//! Session tickets: what a client brings back to take up a session (RFC 5077, RFC 8446 section 4.6.1).
//!
//! Owns the keys and the form of a ticket: the name of its key, a nonce, and the state that the library
//! keeps of a session with the time it was told, sealed with AES-256-GCM-SIV (RFC 8452), for which random
//! nonces are many enough however long a shared key is used. Keys of our own are replaced in time; those of
//! a file are as old as the operator lets them be. A ticket is good for as long as a key of our own is used.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, Nonce, RandomizedNonceKey};
use aws_lc_rs::{error::Unspecified, hkdf, rand};
use fluxheim_trust::BadTicketKeys;
use rustls::server::ProducesTickets;
use zeroize::Zeroizing;

/// One key, known by a name that tells nothing of it.
struct Key {
    name: [u8; NAME],
    seals: RandomizedNonceKey,
}

/// Keys of tickets: the first seals, all open. Never empty.
pub struct TicketKeys(Vec<Arc<Key>>);

/// Nothing of the keys.
impl fmt::Debug for TicketKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TicketKeys({})", self.0.len())
    }
}

/// Why a file holds no keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoTicketKeys {
    #[error("{0}: {fix}", fix = .0.fix())]
    Form(#[from] BadTicketKeys),
    #[error("the library makes no key of it")]
    Library,
}

impl TicketKeys {
    /// The keys in the content of a file: one a line in base64; empty lines and those that begin with `#`
    /// don't count.
    ///
    /// # Errors
    /// [`NoTicketKeys`], with the line that is none.
    pub fn read(content: &[u8]) -> Result<Self, NoTicketKeys> {
        let secrets = fluxheim_trust::ticket_secrets(content)?;
        let keys = secrets.iter().map(|secret| Key::from_secret(secret).map(Arc::new));
        keys.collect::<Result<_, _>>().map(Self).map_err(|Unspecified| NoTicketKeys::Library)
    }

    /// One that nobody else has.
    fn random() -> Result<Self, Unspecified> {
        Key::random().map(|key| Self(vec![Arc::new(key)]))
    }
}

impl Key {
    /// The key and its name both come from the secret (HKDF, RFC 5869): replicas that share it agree.
    fn from_secret(secret: &[u8]) -> Result<Self, Unspecified> {
        let root = hkdf::Salt::new(hkdf::HKDF_SHA256, b"fluxheim session tickets").extract(secret);
        let (mut name, mut key) = ([0; 32], Zeroizing::new([0; 32]));
        root.expand(&[b"name"], hkdf::HKDF_SHA256)?.fill(&mut name)?;
        root.expand(&[b"key"], hkdf::HKDF_SHA256)?.fill(&mut *key)?;
        let name = name.first_chunk().copied().ok_or(Unspecified)?;
        Ok(Self { name, seals: RandomizedNonceKey::new(&AES_256_GCM_SIV, &*key)? })
    }

    fn random() -> Result<Self, Unspecified> {
        let mut secret = Zeroizing::new([0; OWN_SECRET]);
        rand::fill(&mut *secret)?;
        Self::from_secret(&*secret)
    }
}

/// What makes and reads tickets, for as long as the process lives.
#[derive(Debug)]
pub struct Tickets {
    keys: ArcSwap<TicketKeys>,
    /// Seconds for which a ticket is good.
    life: AtomicU64,
    /// When a key of our own is to be replaced, in seconds since 1970; never for those of a file.
    turn: AtomicU64,
    turning: Mutex<()>,
}

impl Tickets {
    /// With the keys of a file, or one of our own.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn new(keys: Option<Arc<TicketKeys>>, life: Duration) -> Result<Self, Unspecified> {
        let own = Arc::new(TicketKeys::random()?);
        let tickets = Self {
            keys: ArcSwap::new(own),
            life: AtomicU64::new(life.as_secs()),
            turn: AtomicU64::new(now().saturating_add(life.as_secs())),
            turning: Mutex::default(),
        };
        tickets.follow(keys, life);
        Ok(tickets)
    }

    /// Uses these keys from now on; a key of our own stays where there are none.
    pub fn follow(&self, keys: Option<Arc<TicketKeys>>, life: Duration) {
        // Nothing below can be left half done.
        let _turning = self.turning.lock().unwrap_or_else(PoisonError::into_inner);
        let (life, now) = (life.as_secs(), now());
        self.life.store(life, Ordering::Relaxed);
        match keys {
            Some(keys) => {
                self.keys.store(keys);
                self.turn.store(u64::MAX, Ordering::Relaxed);
            }
            // Those of a file are not ours to go on with.
            None if self.turn.load(Ordering::Relaxed) == u64::MAX => self.turn.store(0, Ordering::Relaxed),
            None => drop(self.turn.fetch_min(now.saturating_add(life), Ordering::Relaxed)),
        }
    }

    /// Puts a new key before the one in use, once its time has come.
    fn keep_fresh(&self, now: u64) -> Option<()> {
        if !self.is_time(now) {
            return Some(());
        }
        let _turning = self.turning.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.is_time(now) {
            return Some(());
        }
        let mut keys = TicketKeys::random().ok()?;
        // Its tickets are good until the next turn.
        keys.0.extend(self.keys.load().0.first().cloned());
        self.keys.store(Arc::new(keys));
        self.turn.store(now.saturating_add(self.life.load(Ordering::Relaxed)), Ordering::Relaxed);
        Some(())
    }

    /// A turn that is further away than a key may live was set by a clock that has been set back since.
    fn is_time(&self, now: u64) -> bool {
        let (turn, life) = (self.turn.load(Ordering::Relaxed), self.life.load(Ordering::Relaxed));
        now >= turn || (turn != u64::MAX && turn > now.saturating_add(life))
    }

    fn seal(&self, state: &[u8], now: u64) -> Option<Vec<u8>> {
        self.keep_fresh(now)?;
        let keys = self.keys.load();
        let key = keys.0.first()?;
        let mut sealed = Vec::with_capacity(TIME + state.len() + TAG);
        sealed.extend_from_slice(&now.to_be_bytes());
        sealed.extend_from_slice(state);
        let nonce = key.seals.seal_in_place_append_tag(Aad::from(key.name), &mut sealed).ok()?;
        Some([key.name.as_slice(), nonce.as_ref(), &sealed].concat())
    }

    fn open(&self, ticket: &[u8], now: u64) -> Option<Vec<u8>> {
        let (name, rest) = ticket.split_first_chunk::<NAME>()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE>()?;
        let keys = self.keys.load();
        let key = keys.0.iter().find(|key| key.name == *name)?;
        let mut opened = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let opened = key.seals.open_in_place(nonce, Aad::from(*name), &mut opened).ok()?;
        let (told, state) = opened.split_first_chunk::<TIME>()?;
        let told = u64::from_be_bytes(*told);
        // Clocks of replicas differ a little.
        let good =
            told <= now.saturating_add(SKEW) && now < told.saturating_add(self.life.load(Ordering::Relaxed));
        good.then(|| state.to_vec())
    }
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        u32::try_from(self.life.load(Ordering::Relaxed)).unwrap_or(u32::MAX)
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.seal(plain, now())
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        self.open(cipher, now())
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

const NAME: usize = 16;
const NONCE: usize = 12;
const TAG: usize = 16;
const TIME: usize = 8;
/// Seconds.
const SKEW: u64 = 60;
/// Bytes of the secret behind a key of our own.
const OWN_SECRET: usize = 32;

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    fn line(byte: u8) -> String {
        STANDARD.encode([byte; 32]) + "\n"
    }

    fn keys(text: &str) -> Option<Arc<TicketKeys>> {
        Some(Arc::new(TicketKeys::read(text.as_bytes()).unwrap()))
    }

    const LIFE: Duration = Duration::from_secs(100);

    #[test]
    fn replicas_take_each_other_s_tickets_and_the_first_key_seals() {
        let (old, new) = (line(1), line(2));
        let one = Tickets::new(keys(&old), LIFE).unwrap();
        let other = Tickets::new(keys(&format!("# now\n{new}\n{old}")), LIFE).unwrap();
        let ticket = one.seal(b"state", 1000).unwrap();
        assert_eq!(other.open(&ticket, 1001).as_deref(), Some(b"state".as_slice()));
        let ticket = other.seal(b"state", 1000).unwrap();
        assert_eq!(one.open(&ticket, 1001), None);
        one.follow(keys(&format!("{old}{new}")), LIFE);
        assert_eq!(one.open(&ticket, 1001).as_deref(), Some(b"state".as_slice()));
        assert_ne!(one.seal(b"state", 1000), one.seal(b"state", 1000));
    }

    #[test]
    fn a_ticket_is_good_for_its_time_and_only_as_it_was_made() {
        let tickets = Tickets::new(keys(&line(1)), LIFE).unwrap();
        let ticket = tickets.seal(b"state", 1000).unwrap();
        assert!(tickets.open(&ticket, 1099).is_some() && tickets.open(&ticket, 1100).is_none());
        assert!(tickets.open(&ticket, 940).is_some() && tickets.open(&ticket, 939).is_none());
        for at in 0..ticket.len() {
            let mut broken = ticket.clone();
            broken[at] ^= 1;
            assert_eq!(tickets.open(&broken, 1000), None, "{at}");
            assert_eq!(tickets.open(&ticket[..at], 1000), None, "{at}");
        }
    }

    #[test]
    fn a_key_of_our_own_is_replaced_in_time_and_opens_until_the_next() {
        let tickets = Tickets::new(None, LIFE).unwrap();
        let began = now();
        let first = tickets.seal(b"state", began).unwrap();
        let second = tickets.seal(b"state", began + 99).unwrap();
        assert_eq!(first[..NAME], second[..NAME]);
        let third = tickets.seal(b"state", began + 102).unwrap();
        assert_ne!(third[..NAME], second[..NAME]);
        assert!(tickets.open(&second, began + 150).is_some());
        let _fourth = tickets.seal(b"state", began + 203).unwrap();
        assert!(tickets.open(&second, began + 150).is_none(), "the key is still there");
        assert!(tickets.open(&third, began + 150).is_some());
    }

    #[test]
    fn goes_on_with_a_key_of_its_own_where_the_file_is_no_longer_named() {
        let tickets = Tickets::new(keys(&line(1)), LIFE).unwrap();
        let shared = tickets.seal(b"state", now()).unwrap();
        tickets.follow(None, LIFE);
        assert_ne!(tickets.seal(b"state", now()).unwrap()[..NAME], shared[..NAME]);
    }

    #[test]
    fn says_what_is_wrong_with_a_file_and_what_mends_it() {
        let told = TicketKeys::read(format!("{}x", line(1)).as_bytes()).unwrap_err().to_string();
        assert!(told.starts_with("line 2 is no key: give 32 to 64 random bytes in base64"), "{told}");
    }
}
