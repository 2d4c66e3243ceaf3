//! A folder as the place: one file a key, one lock for changes, one a name for leases.
//!
//! Owns the layout. Files are touched through `fluxheim-trust` alone, on threads that may be held by a
//! disk that does not answer. Replicas may share the folder: locks are the kernel's, and what others
//! write is seen by looking every two seconds.

mod watch;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use fluxheim_trust::bounded::{self, Late};
use fluxheim_trust::{Secret, StateFolder, StateLock, Terms};
use tokio::sync::{Mutex, broadcast, watch as tokio_watch};
use tokio::task;

use super::changes::MOST_WAITING;
use super::lease::Hold;
use super::{
    Change, Changes, Entry, Expect, Key, Kind, Lease, MOST_BYTES, MOST_KEYS, Name, Store, StoreError, Value,
    Version, record,
};

/// A folder that keeps values.
#[derive(Debug)]
pub struct Folder {
    files: Arc<Files>,
    /// One change at a time in this process; among processes the lock of the folder decides.
    turn: Mutex<()>,
    news: broadcast::Sender<Change>,
    watched: OnceLock<()>,
    up: AtomicBool,
}

/// The folders below it.
#[derive(Debug)]
struct Files {
    root: StateFolder,
    kinds: [StateFolder; Kind::ALL.len()],
    locks: StateFolder,
}

/// What is in a file.
enum Found {
    Nothing,
    Whole(Entry),
    Damaged(record::Damage),
}

impl Folder {
    /// Opens the folder at `path`, which must be there: judged with everything in it, and rid of what writers left
    /// that were killed. Blocks, for at most half a minute.
    ///
    /// # Errors
    /// The rules forbid to use it, or it can't be written.
    pub fn open(path: &Path, terms: &Terms) -> Result<Self, StoreError> {
        let (path, terms) = (path.to_owned(), terms.clone());
        let files = bounded::within(PATIENCE, move || Files::open(&path, &terms))??;
        let (news, _) = broadcast::channel(MOST_WAITING);
        Ok(Self {
            files: Arc::new(files),
            turn: Mutex::new(()),
            news,
            watched: OnceLock::new(),
            up: AtomicBool::new(true),
        })
    }

    /// Runs `work` where it may block, and not for ever.
    async fn work<T, W>(&self, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: FnOnce(&Files) -> Result<T, StoreError> + Send + 'static,
    {
        let done = blocking(&self.files, work).await;
        self.up.store(!matches!(done, Err(StoreError::Unavailable(_))), Ordering::Relaxed);
        done
    }
}

async fn blocking<T, W>(files: &Arc<Files>, work: W) -> Result<T, StoreError>
where
    T: Send + 'static,
    W: FnOnce(&Files) -> Result<T, StoreError> + Send + 'static,
{
    let files = Arc::clone(files);
    let bounded = move || bounded::within(PATIENCE, move || work(&files));
    task::spawn_blocking(bounded).await.unwrap_or(Err(Late::Ended))?
}

#[async_trait]
impl Store for Folder {
    async fn get(&self, key: &Key) -> Result<Option<Entry>, StoreError> {
        let asked = key.clone();
        match self.work(move |files| files.load(&asked)).await? {
            Found::Nothing => Ok(None),
            Found::Whole(entry) => Ok(Some(entry)),
            Found::Damaged(_) => {
                let (asked, _turn) = (key.clone(), self.turn.lock().await);
                self.work(move |files| files.current(&files.lock()?, &asked)).await
            }
        }
    }

    async fn put(
        &self,
        key: &Key,
        value: &[u8],
        expect: Expect,
        under: Option<&Lease>,
    ) -> Result<Version, StoreError> {
        if value.len() > MOST_BYTES {
            return Err(StoreError::TooLarge { key: key.clone(), len: value.len() });
        }
        let value = zeroize::Zeroizing::new(value.to_vec());
        let (asked, lease, _turn) = (key.clone(), LeaseFile::of(under)?, self.turn.lock().await);
        self.work(move |files| files.write(&asked, &value, expect, lease.as_ref())).await
    }

    async fn delete(&self, key: &Key, expect: Expect, under: Option<&Lease>) -> Result<bool, StoreError> {
        let (asked, lease, _turn) = (key.clone(), LeaseFile::of(under)?, self.turn.lock().await);
        self.work(move |files| files.delete(&asked, expect, lease.as_ref())).await
    }

    async fn list(&self, kind: Kind) -> Result<Vec<Key>, StoreError> {
        self.work(move |files| files.list(kind)).await
    }

    /// The kernel frees it when the process ends, so `ttl` is not needed.
    async fn try_lock(&self, name: &Name, _ttl: Duration) -> Result<Option<Lease>, StoreError> {
        let asked = name.clone();
        let lock = self.work(move |files| Ok(files.locks.try_lock(asked.as_str())?)).await?;
        Ok(lock.map(|lock| {
            let (sender, held) = tokio_watch::channel(true);
            Lease::new(name.clone(), held, Hold::File { lock: Arc::new(lock), _held: sender })
        }))
    }

    fn changes(&self) -> Changes {
        let changes = Changes::new(self.news.subscribe());
        self.watched.get_or_init(|| watch::start(&self.files, &self.news));
        changes
    }

    fn is_up(&self) -> bool {
        self.up.load(Ordering::Relaxed)
    }
}

/// A lease's lock, to be looked at where that may block.
struct LeaseFile {
    name: Name,
    lock: Arc<StateLock>,
}

impl LeaseFile {
    fn of(lease: Option<&Lease>) -> Result<Option<Self>, StoreError> {
        let Some(lease) = lease else { return Ok(None) };
        match lease.hold() {
            Hold::File { lock, .. } if lease.is_held() => {
                Ok(Some(Self { name: lease.name().clone(), lock: Arc::clone(lock) }))
            }
            Hold::File { .. } | Hold::Server(_) => Err(StoreError::LeaseLost(lease.name().clone())),
        }
    }
}

impl Files {
    fn open(path: &Path, terms: &Terms) -> Result<Self, StoreError> {
        let root = StateFolder::open("acme.storage", path, terms)?;
        let _lock = root.lock(CHANGES, LOCK_PATIENCE)?;
        let below = |kind: Kind| root.below(kind.plural());
        let [account, certificate, order, challenge, schedule] = Kind::ALL.map(below);
        let kinds = [account?, certificate?, order?, challenge?, schedule?];
        let locks = root.below("locks")?;
        for folder in kinds.iter().chain([&root]) {
            folder.sweep()?;
        }
        Ok(Self { root, kinds, locks })
    }

    fn of(&self, kind: Kind) -> &StateFolder {
        let [account, certificate, order, challenge, schedule] = &self.kinds;
        match kind {
            Kind::Account => account,
            Kind::Certificate => certificate,
            Kind::Order => order,
            Kind::Challenge => challenge,
            Kind::Schedule => schedule,
        }
    }

    /// No other process changes anything while it is held.
    fn lock(&self) -> Result<StateLock, StoreError> {
        Ok(self.root.lock(CHANGES, LOCK_PATIENCE)?)
    }

    fn load(&self, key: &Key) -> Result<Found, StoreError> {
        let folder = self.of(key.kind);
        let Some(content) = folder.read(key.name.as_str(), MOST_FILE, key.kind.is_secret())? else {
            return Ok(Found::Nothing);
        };
        Ok(found(key, content))
    }

    /// What is there, or nothing; what is damaged is set aside.
    fn current(&self, _lock: &StateLock, key: &Key) -> Result<Option<Entry>, StoreError> {
        match self.load(key)? {
            Found::Nothing => Ok(None),
            Found::Whole(entry) => Ok(Some(entry)),
            Found::Damaged(record::Damage::Format(format)) => Err(StoreError::Refused(format!(
                "{}: written by a later version of Fluxheim, in format {format}: start that version, or move the \
                 file away to begin anew without it",
                self.of(key.kind).path().join(key.name.as_str()).display()
            ))),
            Found::Damaged(damage) => {
                let kept = self.of(key.kind).set_aside(key.name.as_str()).ok();
                Err(StoreError::Corrupt { key: key.clone(), why: damage.to_string(), kept })
            }
        }
    }

    fn write(
        &self,
        key: &Key,
        value: &[u8],
        expect: Expect,
        lease: Option<&LeaseFile>,
    ) -> Result<Version, StoreError> {
        let lock = self.lock()?;
        let found = self.agreed(&lock, key, expect, lease)?;
        let version = Version::after(found, now());
        let head = record::head(key, version, value);
        self.of(key.kind).replace(key.name.as_str(), &[head.as_bytes(), value])?;
        Ok(version)
    }

    fn delete(&self, key: &Key, expect: Expect, lease: Option<&LeaseFile>) -> Result<bool, StoreError> {
        let lock = self.lock()?;
        self.agreed(&lock, key, expect, lease)?;
        Ok(self.of(key.kind).remove(key.name.as_str())?)
    }

    /// The version that is there, if that is what was expected and the lease is still held.
    fn agreed(
        &self,
        lock: &StateLock,
        key: &Key,
        expect: Expect,
        lease: Option<&LeaseFile>,
    ) -> Result<Option<Version>, StoreError> {
        if let Some(LeaseFile { name, lock }) = lease
            && !self.locks.is_held(lock)?
        {
            return Err(StoreError::LeaseLost(name.clone()));
        }
        let found = self.current(lock, key)?.map(|entry| entry.version);
        match expect.is_met_by(found) {
            true => Ok(found),
            false => Err(StoreError::Conflict(key.clone())),
        }
    }

    /// Names that are none of ours stay where they are.
    fn list(&self, kind: Kind) -> Result<Vec<Key>, StoreError> {
        let names = self.of(kind).names(MOST_KEYS)?;
        let keys = names.iter().filter_map(|name| Some(Key { kind, name: Name::spelled(name)? }));
        Ok(keys.collect())
    }
}

fn found(key: &Key, content: Secret) -> Found {
    match record::open(key, content.as_bytes()) {
        Ok((version, from)) => Found::Whole(Entry { value: Value::of_file(content, from), version }),
        Err(damage) => Found::Damaged(damage),
    }
}

/// Milliseconds since 1970.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// Its lock is held for every change, and while what was left over is swept.
const CHANGES: &str = ".lock";
/// A change takes a slow disk a second; a restart of another replica may sweep for some.
const LOCK_PATIENCE: Duration = Duration::from_secs(10);
/// Longer than the lock is waited for, and a slow disk's time.
const PATIENCE: Duration = Duration::from_secs(25);
/// The largest value, and the line before it.
const MOST_FILE: u64 = (MOST_BYTES + 1024) as u64;
