//! The kernel's word that a file may have changed.
//!
//! Owns the inotify instance and which folders it watches. What it says is a hint: names are looked at
//! anew, whatever the event was. Where there is no instance to be had, or a filesystem on which changes
//! come from elsewhere (NFS, 9p, FUSE), the slow look of the poll finds them. Follows inotify(7).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use fluxheim_trust::way::Place;
use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent, WatchDescriptor};
use tokio::sync::mpsc;

/// What is watched, and for whom.
#[derive(Debug)]
pub(super) struct Folders {
    inotify: Arc<Inotify>,
    events: mpsc::Receiver<Vec<InotifyEvent>>,
    watched: HashMap<WatchDescriptor, Watched>,
    /// Folders that can't be watched, and why, as it was told.
    unwatched: BTreeMap<PathBuf, Errno>,
    /// Whether the kernel has ended a watch, as it does when a folder goes.
    lost: bool,
}

#[derive(Debug, Default)]
struct Watched {
    /// Who cares for which entry; `None` is for the folder or file itself.
    names: HashMap<Option<OsString>, BTreeSet<usize>>,
}

/// Whose files may have changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Touched {
    These(BTreeSet<usize>),
    /// Events were lost.
    Any,
}

impl Folders {
    /// # Errors
    /// There are no more instances for this user (`fs.inotify.max_user_instances`), or a seccomp policy forbids it.
    pub(super) fn new() -> io::Result<Self> {
        let inotify = Arc::new(Inotify::init(InitFlags::IN_CLOEXEC)?);
        let (sender, events) = mpsc::channel(MOST_WAITING);
        let read = Arc::clone(&inotify);
        // It sleeps in the kernel until something happens, and ends with the process.
        std::thread::Builder::new().name("rotation".to_owned()).stack_size(STACK).spawn(move || {
            // What nobody takes stays in the kernel's queue, which is bounded and tells when it overflows.
            loop {
                let events = match read.read_events() {
                    Ok(events) => events,
                    Err(Errno::EINTR) => continue,
                    Err(_) => return,
                };
                if sender.blocking_send(events).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { inotify, events, watched: HashMap::new(), unwatched: BTreeMap::new(), lost: false })
    }

    /// Watches these places and no others; whether one of them was not watched before, so that a change of
    /// it may have gone unseen.
    pub(super) fn follow<'a>(&mut self, places: impl IntoIterator<Item = (usize, &'a Place)>) -> bool {
        let mut watched: HashMap<WatchDescriptor, Watched> = HashMap::new();
        let mut unwatched = BTreeMap::new();
        for (subject, place) in places {
            let (path, name, mask) = match place {
                Place::Entry(folder, name) => (folder, Some(name.clone()), OF_FOLDERS),
                Place::Mounted(file) => (file, None, OF_FILES),
            };
            match self.inotify.add_watch(path, mask) {
                Ok(descriptor) => {
                    let watched = watched.entry(descriptor).or_default();
                    for name in [name, None] {
                        watched.names.entry(name).or_default().insert(subject);
                    }
                }
                // Gone again by now: that is seen when it is looked at.
                Err(Errno::ENOENT | Errno::ENOTDIR) => {}
                Err(errno) => drop(unwatched.insert(path.clone(), errno)),
            }
        }
        for (path, errno) in &unwatched {
            if self.unwatched.get(path) != Some(errno) {
                let (path, reason) = (path.display(), errno.desc());
                tracing::info!(%path, reason, "can't be watched: its files are looked at from time to time only");
            }
        }
        let is_new = watched.keys().any(|descriptor| !self.watched.contains_key(descriptor));
        let gone = self.watched.keys().filter(|descriptor| !watched.contains_key(descriptor));
        gone.for_each(|descriptor| {
            // One whose folder is gone is gone itself.
            let _ = self.inotify.rm_watch(*descriptor);
        });
        (self.watched, self.unwatched, self.lost) = (watched, unwatched, false);
        is_new
    }

    /// Whether something is watched no more that should be.
    pub(super) const fn has_lost(&self) -> bool {
        self.lost
    }

    /// Waits until something has changed; `None` where there will be no more events.
    pub(super) async fn changed(&mut self) -> Option<Touched> {
        loop {
            let events = self.events.recv().await?;
            let touched = self.touched(events);
            if touched != Touched::These(BTreeSet::new()) {
                return Some(touched);
            }
        }
    }

    fn touched(&mut self, events: Vec<InotifyEvent>) -> Touched {
        let mut subjects = BTreeSet::new();
        for event in events {
            if event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW) {
                return Touched::Any;
            }
            if let Some(watched) = self.watched.get(&event.wd) {
                subjects.extend(watched.names.get(&event.name).into_iter().flatten());
            }
            if event.mask.contains(AddWatchFlags::IN_IGNORED) && self.watched.remove(&event.wd).is_some() {
                self.lost = true;
            }
        }
        Touched::These(subjects)
    }
}

/// Whatever makes a name lead elsewhere, a file complete, or one readable; and the end of the folder itself.
const OF_FOLDERS: AddWatchFlags = AddWatchFlags::IN_CLOSE_WRITE
    .union(AddWatchFlags::IN_CREATE)
    .union(AddWatchFlags::IN_MOVED_TO)
    .union(AddWatchFlags::IN_MOVED_FROM)
    .union(AddWatchFlags::IN_DELETE)
    .union(AddWatchFlags::IN_ATTRIB)
    .union(AddWatchFlags::IN_DELETE_SELF)
    .union(AddWatchFlags::IN_MOVE_SELF)
    .union(AddWatchFlags::IN_DONT_FOLLOW)
    .union(AddWatchFlags::IN_ONLYDIR);
const OF_FILES: AddWatchFlags = AddWatchFlags::IN_CLOSE_WRITE
    .union(AddWatchFlags::IN_ATTRIB)
    .union(AddWatchFlags::IN_DELETE_SELF)
    .union(AddWatchFlags::IN_MOVE_SELF)
    .union(AddWatchFlags::IN_DONT_FOLLOW);

/// Reads of the kernel's queue that wait to be looked at.
const MOST_WAITING: usize = 16;
/// It reads into a buffer of 4 KiB, and calls nothing deep.
const STACK: usize = 128 << 10;
