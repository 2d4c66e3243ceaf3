//! Seeing what other replicas write into a shared folder.
//!
//! Owns the looking. A folder that has not changed costs one stat(2); inotify would not tell what a
//! server of files or another host's kernel has been told to write.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fluxheim_trust::Stamp;
use tokio::sync::broadcast;
use tokio::time;

use super::{Change, Files, Key, Kind, StoreError, blocking};

/// What was seen at the last look.
#[derive(Debug, Clone, Default)]
struct Seen(BTreeMap<Kind, Folder>);

#[derive(Debug, Clone)]
struct Folder {
    stamp: Stamp,
    files: BTreeMap<Key, Stamp>,
    /// Whether the folder was as it is now at the look before too: a clock's tick may hide a second change.
    settled: bool,
}

/// Looks until nobody has the folder any more.
pub(super) fn start(files: &Arc<Files>, news: &broadcast::Sender<Change>) {
    let (files, news) = (Arc::downgrade(files), news.clone());
    tokio::spawn(async move {
        let mut seen: Option<Seen> = None;
        loop {
            let Some(files) = files.upgrade() else { return };
            let before = seen.clone().unwrap_or_default();
            // What can't be looked at now is at the next look; those who read and write are told why.
            if let Ok(now) = blocking(&files, move |files| look(files, &before)).await {
                let changes = match &seen {
                    Some(before) => differences(before, &now).into_iter().map(Change::Key).collect(),
                    // What was written before this first look, nobody can tell.
                    None => vec![Change::Anything],
                };
                // Nobody may be listening just now.
                changes.into_iter().for_each(|change| drop(news.send(change)));
                seen = Some(now);
            }
            drop(files);
            time::sleep(PAUSE).await;
        }
    });
}

fn look(files: &Files, before: &Seen) -> Result<Seen, StoreError> {
    let mut seen = Seen::default();
    for kind in Kind::ALL {
        let stamp = files.of(kind).stamp()?;
        let known = before.0.get(&kind).filter(|known| known.stamp == stamp);
        let folder = match known {
            Some(known) if known.settled => known.clone(),
            known => Folder { stamp, files: stamps(files, kind)?, settled: known.is_some() },
        };
        seen.0.insert(kind, folder);
    }
    Ok(seen)
}

fn stamps(files: &Files, kind: Kind) -> Result<BTreeMap<Key, Stamp>, StoreError> {
    let mut stamps = BTreeMap::new();
    for key in files.list(kind)? {
        // Removed since it was listed.
        let Some(stamp) = files.of(kind).stamp_of(key.name.as_str())? else { continue };
        stamps.insert(key, stamp);
    }
    Ok(stamps)
}

fn differences(before: &Seen, now: &Seen) -> Vec<Key> {
    let mut keys = Vec::new();
    for (kind, folder) in &now.0 {
        let old = before.0.get(kind).map(|folder| &folder.files);
        let was = |key: &Key| old.and_then(|files| files.get(key));
        keys.extend(
            folder.files.iter().filter(|(key, stamp)| was(key) != Some(stamp)).map(|(key, _)| key.clone()),
        );
        let gone = old.into_iter().flat_map(BTreeMap::keys).filter(|key| !folder.files.contains_key(*key));
        keys.extend(gone.cloned());
    }
    keys
}

/// Certificates are wanted within seconds.
const PAUSE: Duration = Duration::from_secs(2);
