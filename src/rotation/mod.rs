//! Files that are replaced while the proxy runs: when to look at them, and which to read anew.
//!
//! Owns the watching, by the kernel's events and, as a net under them, from time to time; the patience with
//! rotations under way, and when there is an alarm. Knows nothing of what files mean: reading and putting
//! to use is its caller's. Looking happens on a thread of its own, since a mount may not answer.

mod folders;
mod standing;

use std::collections::BTreeSet;
use std::time::Duration;

use fluxheim_trust::Item;
use fluxheim_trust::way::{Way, ways};
use tokio::time::{Instant, sleep_until};

use folders::{Folders, Touched};
use standing::Standing;
pub use standing::Tell;

/// What the running configuration reads, and how each of it stands.
#[derive(Debug)]
pub struct Rotation {
    settings: Settings,
    subjects: Vec<Subject>,
    folders: Option<Folders>,
    /// Whose files changed since they were last looked at, by the kernel's word.
    touched: BTreeSet<usize>,
    /// When the events of now were first and last seen.
    stirred: Option<(Instant, Instant)>,
    /// When everything is looked at though nothing was heard of it.
    poll: Instant,
    /// No look before that, whatever is heard.
    rest: Instant,
}

/// How files are watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    pub enabled: bool,
    /// Time between two looks at everything.
    pub poll: Duration,
}

/// A file or pair, and the ways to it as they were when it was last read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sight {
    pub item: Item,
    ways: Vec<Way>,
}

#[derive(Debug)]
struct Subject {
    sight: Sight,
    standing: Standing,
}

impl Sight {
    /// Each of `items` as it is now. Look before you read: what changes in between is then found later.
    #[must_use]
    pub fn all(items: Vec<Item>) -> Vec<Self> {
        let objects: Vec<_> = items.iter().map(Item::objects).collect();
        let mut seen = ways(objects.iter().flatten().map(|object| object.path.as_path())).into_iter();
        let sights = items.into_iter().zip(&objects);
        sights
            .map(|(item, objects)| Self { item, ways: seen.by_ref().take(objects.len()).collect() })
            .collect()
    }
}

/// A look at everything; to be made where waiting does no harm.
#[derive(Debug)]
pub struct Look {
    subjects: Vec<(Sight, bool)>,
}

/// One that is to be read anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    pub index: usize,
    pub sight: Sight,
}

/// What a look found.
#[derive(Debug, Default)]
pub struct Seen {
    pub changed: Vec<Changed>,
}

impl Look {
    /// Looks, and tells what is to be read: what is another by now, and what the kernel or an earlier failure
    /// gives reason to read though it looks the same.
    #[must_use]
    pub fn make(self) -> Seen {
        let (before, asked): (Vec<_>, Vec<_>) = self.subjects.into_iter().unzip();
        let now = Sight::all(before.iter().map(|sight| sight.item.clone()).collect());
        let changed = now.into_iter().zip(before).zip(asked).enumerate();
        let changed = changed.filter_map(|(index, ((sight, before), asked))| {
            (asked || sight != before).then_some(Changed { index, sight })
        });
        Seen { changed: changed.collect() }
    }
}

impl Rotation {
    /// Watches the files of `sights`.
    #[must_use]
    pub fn new(settings: Settings, sights: Vec<Sight>) -> Self {
        let now = Instant::now();
        let mut rotation = Self {
            settings,
            subjects: Vec::new(),
            folders: None,
            touched: BTreeSet::new(),
            stirred: None,
            poll: now,
            rest: now,
        };
        rotation.follow(settings, sights);
        rotation
    }

    /// From now on, these: they were read just now, all of them.
    pub fn follow(&mut self, settings: Settings, sights: Vec<Sight>) {
        self.settings = settings;
        self.rest = Instant::now();
        self.subjects =
            sights.into_iter().map(|sight| Subject { sight, standing: Standing::default() }).collect();
        self.touched.clear();
        self.stirred = None;
        if !settings.enabled {
            self.subjects.clear();
        }
        if self.folders.is_none() && !self.subjects.is_empty() {
            let folders = Folders::new();
            self.folders = folders.map_err(|error| tracing::warn!(%error, "no inotify: {POLLED}")).ok();
        }
        // Between the reading and the watching something may have changed.
        self.watch();
        self.poll = Instant::now() + SETTLE;
    }

    /// Waits until it is time for a look. Loses nothing when it is dropped early.
    pub async fn due(&mut self) {
        loop {
            let now = Instant::now();
            let at = self.next_look();
            if at.is_some_and(|at| at <= now) {
                return;
            }
            tokio::select! {
                touched = changed(&mut self.folders) => self.note(touched, Instant::now()),
                () = at_last(at) => return,
            }
        }
    }

    /// When to look next; `None` for never.
    fn next_look(&self) -> Option<Instant> {
        if self.subjects.is_empty() {
            return None;
        }
        // One change is a row of events; and a folder may be in uproar for as long as it likes.
        let settled = self.stirred.map(|(first, last)| (last + SETTLE).min(first + LONGEST));
        let retry = self.subjects.iter().filter_map(|subject| subject.standing.retry()).min();
        let next = settled.into_iter().chain(retry).chain([self.poll]).min();
        next.map(|next| next.max(self.rest))
    }

    fn note(&mut self, touched: Option<Touched>, now: Instant) {
        match touched {
            Some(Touched::These(subjects)) => self.touched.extend(subjects),
            Some(Touched::Any) => self.touched.extend(0..self.subjects.len()),
            None => {
                tracing::warn!("inotify has ended: {POLLED}");
                self.folders = None;
                return;
            }
        }
        let first = self.stirred.map_or(now, |(first, _)| first);
        self.stirred = Some((first, now));
    }

    /// The look that is due.
    #[must_use]
    pub fn look(&mut self) -> Look {
        let now = Instant::now();
        let touched = std::mem::take(&mut self.touched);
        self.stirred = None;
        self.poll = now + self.settings.poll;
        let subjects = self.subjects.iter_mut().enumerate().map(|(index, subject)| {
            let is_touched = touched.contains(&index);
            if is_touched {
                subject.standing.changed(now);
            }
            let retry = subject.standing.retry().is_some_and(|at| at <= now);
            (subject.sight.clone(), is_touched || retry)
        });
        Look { subjects: subjects.collect() }
    }

    /// Takes what was looked at before it was read.
    pub fn saw(&mut self, changed: Vec<Changed>) {
        let now = Instant::now();
        let mut moved = false;
        for Changed { index, sight } in changed {
            let Some(subject) = self.subjects.get_mut(index) else { continue };
            if subject.sight != sight {
                subject.standing.changed(now);
                subject.sight = sight;
                moved = true;
            }
        }
        if (moved || self.has_lost()) && self.watch() {
            self.poll = self.poll.min(now + SETTLE);
        }
    }

    /// What came of reading one.
    pub fn outcome(&mut self, index: usize, result: Result<(), &str>) -> Tell {
        let Some(subject) = self.subjects.get_mut(index) else { return Tell::Nothing };
        match result {
            Ok(()) => subject.standing.good(),
            Err(reason) => subject.standing.bad(reason, self.settings.poll, Instant::now()),
        }
    }

    /// The mounts under the files don't answer: a look now and then is enough.
    pub fn unanswered(&mut self) {
        self.touched.extend(0..self.subjects.len());
        self.rest = Instant::now() + self.settings.poll.saturating_mul(10);
    }

    fn has_lost(&self) -> bool {
        self.folders.as_ref().is_some_and(Folders::has_lost)
    }

    /// Whether a place is watched that was not before.
    fn watch(&mut self) -> bool {
        let Some(folders) = &mut self.folders else { return false };
        let places = self.subjects.iter().enumerate().flat_map(|(index, subject)| {
            let places = subject.sight.ways.iter().flat_map(Way::places);
            places.map(move |place| (index, place))
        });
        folders.follow(places)
    }
}

async fn changed(folders: &mut Option<Folders>) -> Option<Touched> {
    match folders {
        Some(folders) => folders.changed().await,
        None => std::future::pending().await,
    }
}

async fn at_last(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// What is said where there is no inotify.
const POLLED: &str = "files that are replaced are found by looking at them from time to time only; raise \
    fs.inotify.max_user_instances on the host, or set tls.watch_poll lower";
/// How long it has to be quiet before a look.
const SETTLE: Duration = Duration::from_millis(100);
/// And how long a look can be put off by what is never quiet.
const LONGEST: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
