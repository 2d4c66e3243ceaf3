//! The check: every object of an inventory judged, within bounds of time.
//!
//! Owns the order and the clock. The work is done on a thread of its own, so that a mount that does
//! not answer holds that thread, not the program: what it was busy with is reported as such, and the
//! next object gets another thread. Judges nothing itself.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use crate::finding::Finding;
use crate::inspect::{self, Inspection};
use crate::object::{Inventory, Item, Object, Role};
use crate::pair;
use crate::repair;
use crate::report::{ObjectReport, StorageReport};
use crate::rules;
use crate::terms::{Judge, Terms};
use crate::walk::Ground;

/// How a check is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct How {
    /// Whether certificates and keys that may be read are read, and looked at for what they are.
    pub contents: bool,
    /// Whether modes of files that the service user owns are tightened.
    pub repair: bool,
    /// Longest time for one object, or for a certificate and its key.
    pub each: Duration,
    /// Longest time for all of them.
    pub total: Duration,
}

impl How {
    /// Who can read or replace what, and nothing is read or changed.
    pub const ACCESS: Self = Self { contents: false, repair: false, each: EACH, total: TOTAL };

    /// The whole check.
    pub const FULL: Self = Self { contents: true, ..Self::ACCESS };
}

/// Judges everything in `inventory`, and reads of it what `how` says.
#[must_use]
pub fn check(inventory: &Inventory, terms: &Terms, how: How) -> StorageReport {
    let job = Arc::new(Job { items: inventory.items.clone(), terms: terms.clone(), how });
    let (mut objects, stuck) = run(&job);
    if how.contents {
        pair::cover_by_name(&inventory.by_name, &mut objects);
    }
    StorageReport { identity: terms.identity.clone(), objects, stuck }
}

struct Job {
    items: Vec<Item>,
    terms: Terms,
    how: How,
}

/// The reports, and how many threads are held by mounts that don't answer.
fn run(job: &Arc<Job>) -> (Vec<ObjectReport>, usize) {
    let end = Instant::now() + job.how.total;
    let (mut reports, mut done, mut stuck) = (Vec::new(), 0, 0);
    while done < job.items.len() && stuck < MOST_STUCK && Instant::now() < end {
        let Some(worker) = Worker::start(job, done) else { break };
        let ended = worker.collect(job, &mut done, end, &mut reports);
        if !ended {
            stuck += 1;
        }
    }
    let rest = job.items.get(done..).unwrap_or_default();
    reports.extend(rest.iter().flat_map(|item| failed(item, rules::not_reached)));
    (reports, stuck)
}

struct Worker {
    thread: JoinHandle<()>,
    reports: Receiver<Vec<ObjectReport>>,
    /// Tells the thread that nobody waits for it any more.
    abandoned: Arc<AtomicBool>,
}

impl Worker {
    /// `None` when there can be no thread.
    fn start(job: &Arc<Job>, from: usize) -> Option<Self> {
        let (sender, reports) = mpsc::channel();
        let (job, abandoned) = (Arc::clone(job), Arc::new(AtomicBool::new(false)));
        let seen = Arc::clone(&abandoned);
        let work = move || work(&job, from, &seen, &sender);
        let thread =
            std::thread::Builder::new().name("storage".to_owned()).stack_size(STACK).spawn(work).ok()?;
        Some(Self { thread, reports, abandoned })
    }

    /// Takes reports until all are there or one is late; whether the thread has ended.
    fn collect(self, job: &Job, done: &mut usize, end: Instant, reports: &mut Vec<ObjectReport>) -> bool {
        while let Some(item) = job.items.get(*done) {
            let patience = job.how.each.min(end.saturating_duration_since(Instant::now()));
            let received = self.reports.recv_timeout(patience);
            *done += 1;
            match received {
                Ok(report) => reports.extend(report),
                Err(RecvTimeoutError::Timeout) => {
                    self.abandoned.store(true, Ordering::Release);
                    // What the time was over for before it began has not been asked.
                    let asked = patience >= job.how.each.min(LEAST);
                    let said = |path: &Path| match asked {
                        true => rules::timed_out(path, patience),
                        false => rules::not_reached(path),
                    };
                    reports.extend(failed(item, said));
                    return false;
                }
                Err(RecvTimeoutError::Disconnected) => {
                    reports.extend(failed(item, rules::not_reached));
                    break;
                }
            }
        }
        // Gone before anything else begins: what comes next counts on being the only thread.
        let _ = self.thread.join();
        true
    }
}

fn work(job: &Job, from: usize, abandoned: &AtomicBool, reports: &Sender<Vec<ObjectReport>>) {
    let mut ground = Ground::new();
    for item in job.items.get(from..).unwrap_or_default() {
        let report = match item {
            Item::One(object) => vec![one(job, object, abandoned, &mut ground)],
            Item::Pair(pair) => {
                pair::reports(pair, &Judge::new(&job.terms).until(abandoned), job.how, &mut ground)
            }
        };
        if abandoned.load(Ordering::Acquire) || reports.send(report).is_err() {
            return;
        }
    }
}

fn one(job: &Job, object: &Object, abandoned: &AtomicBool, ground: &mut Ground) -> ObjectReport {
    let judge = match object.role {
        Role::Config => Judge::of_config(&job.terms),
        _ => Judge::new(&job.terms),
    };
    let judge = judge.until(abandoned);
    let mut inspection = over(object, &judge, ground);
    let mut repaired = Vec::new();
    if job.how.repair {
        repaired = repair::tighten(object, &judge, &inspection);
        if !repaired.is_empty() {
            inspection = inspect::inspect(object, &judge);
        }
    }
    if job.how.contents {
        pair::look_at(object, &mut inspection, now());
    }
    ObjectReport { repaired, ..ObjectReport::new(object.clone(), inspection) }
}

/// Over the ground that the others are reached by, or, when that moved, over fresh ground.
pub(crate) fn over(object: &Object, judge: &Judge<'_>, ground: &mut Ground) -> Inspection {
    inspect::attempt(object, judge, ground).unwrap_or_else(|_| {
        *ground = Ground::new();
        inspect::inspect(object, judge)
    })
}

/// Seconds since 1970.
pub(crate) fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

fn failed(item: &Item, why: impl Fn(&Path) -> Finding) -> Vec<ObjectReport> {
    let report = |object: Object| {
        let findings = vec![why(&object.path)];
        ObjectReport::new(object, Inspection { findings, ..Inspection::default() })
    };
    item.objects().into_iter().map(report).collect()
}

/// A local disk answers within milliseconds, a network filesystem that lives within a second; the rest
/// is for containers with a tenth of a core.
const EACH: Duration = Duration::from_secs(10);
/// What is left of a pod's patience after that is better spent on the next attempt.
const TOTAL: Duration = Duration::from_secs(60);
/// Less than this is no time to answer in.
const LEAST: Duration = Duration::from_millis(100);
/// Threads that may wait for mounts that don't answer.
pub(crate) const MOST_STUCK: usize = 4;
/// Room for the deepest tree.
const STACK: usize = 1 << 20;

#[cfg(test)]
mod tests;
