//! What the proxy holds: memory while it is under load, descriptors and threads while it rests.

use std::fmt::{self, Display, Formatter};
use std::time::{Duration, Instant};

use crate::site::Site;

/// Resident memory over time.
#[derive(Debug)]
pub(crate) struct Memory {
    /// Seconds since the start, and KiB.
    samples: Vec<(f64, f64)>,
}

impl Memory {
    /// Looks twice a second, for that long.
    pub(crate) fn sample(pid: u32, lasting: Duration) -> Self {
        let (began, mut samples) = (Instant::now(), Vec::new());
        while began.elapsed() < lasting {
            samples.push((began.elapsed().as_secs_f64(), status(pid, "VmRSS:")));
            std::thread::sleep(EVERY);
        }
        Self { samples }
    }

    /// The first half warms up: buffers, arenas of the allocator, kept connections.
    fn second_half(&self) -> &[(f64, f64)] {
        &self.samples[self.samples.len() / 2..]
    }

    /// By how much it grew over the second half, in KiB: the slope of the line with the least squares times
    /// the time, so that one peak at the end is not taken for growth.
    fn growth(&self) -> f64 {
        let half = self.second_half();
        let count = half.len() as f64;
        let mean = |of: fn(&(f64, f64)) -> f64| half.iter().map(of).sum::<f64>() / count;
        let (time, size) = (mean(|sample| sample.0), mean(|sample| sample.1));
        let above: f64 = half.iter().map(|sample| (sample.0 - time) * (sample.1 - size)).sum();
        let below: f64 = half.iter().map(|sample| (sample.0 - time).powi(2)).sum();
        let lasting = half.last().map_or(0.0, |last| last.0) - half.first().map_or(0.0, |first| first.0);
        if below > 0.0 { above / below * lasting } else { 0.0 }
    }

    /// In KiB.
    fn median(&self) -> f64 {
        let mut sizes: Vec<_> = self.second_half().iter().map(|sample| sample.1).collect();
        sizes.sort_by(f64::total_cmp);
        sizes[sizes.len() / 2]
    }

    /// What a slow machine may still be warming up is allowed: a leak of a hundred bytes a request shows in
    /// an hour, one of a few KiB in half a minute.
    pub(crate) fn judge(&self) {
        let (growth, allowed) = (self.growth(), ALLOWED + self.median() / 5.0);
        assert!(
            growth < allowed,
            "memory grew by {growth:.0} KiB over the second half, allowed are {allowed:.0}: {self}"
        );
    }
}

impl Display for Memory {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mib = |kib: f64| kib / 1024.0;
        let first = self.samples.first().map_or(0.0, |sample| sample.1);
        let most = self.samples.iter().map(|sample| sample.1).fold(0.0, f64::max);
        write!(
            f,
            "resident: {:.1} MiB at first, {:.1} MiB at most; second half: median {:.1} MiB, grew by {:.2} MiB ({} samples)",
            mib(first),
            mib(most),
            mib(self.median()),
            mib(self.growth()),
            self.samples.len()
        )
    }
}

/// What there is while nobody asks anything.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Footprint {
    descriptors: usize,
    threads: usize,
    connections: f64,
    in_flight: f64,
}

impl Footprint {
    fn now(site: &Site) -> Self {
        let folder = format!("/proc/{}/fd", site.pid());
        let listed =
            std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder}: {error}; run this as root"));
        Self {
            descriptors: listed.count(),
            threads: threads(site.pid()),
            connections: site.metric("fluxheim_connections", |_| true),
            in_flight: site.metric("fluxheim_http_requests_in_flight", |_| true),
        }
    }

    /// Once nothing changes any more: kept upstream connections are closed after two seconds.
    pub(crate) fn at_rest(site: &Site) -> Self {
        let (end, mut seen, mut since) = (Instant::now() + REST, Self::now(site), Instant::now());
        while since.elapsed() < STILL || seen.connections + seen.in_flight > 0.0 {
            assert!(Instant::now() < end, "does not come to rest: {seen}");
            std::thread::sleep(EVERY);
            let now = Self::now(site);
            if now != seen {
                (seen, since) = (now, Instant::now());
            }
        }
        seen
    }

    /// Waits until it is back, and gives what it was at last.
    pub(crate) fn back_at(site: &Site, baseline: &Self) -> Self {
        let end = Instant::now() + REST;
        loop {
            let now = Self::now(site);
            if now.is_within(baseline) || Instant::now() >= end {
                return now;
            }
            std::thread::sleep(EVERY);
        }
    }

    fn is_within(&self, baseline: &Self) -> bool {
        self.connections == 0.0
            && self.in_flight == 0.0
            && self.descriptors <= baseline.descriptors + SPARE
            && self.threads <= baseline.threads + SPARE
    }

    pub(crate) fn judge(&self, baseline: &Self) {
        assert!(self.is_within(baseline), "not back at {baseline} after {REST:?}: {self}");
    }
}

impl Display for Footprint {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { descriptors, threads, connections, in_flight } = self;
        write!(
            f,
            "{descriptors} descriptors, {threads} threads, {connections} connections, {in_flight} requests in flight"
        )
    }
}

/// How many threads there are. The framework's clocks apart: it starts one more whenever the system has kept the
/// last one waiting for two seconds, and ends none (pingora-timeout, `DELAYS_SEC`).
fn threads(pid: u32) -> usize {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("the proxy has ended");
    // A thread may end between the two looks.
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.filter(|name| name.trim_end() != "Timer thread").count()
}

/// A number of /proc/PID/status.
fn status(pid: u32, name: &str) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the proxy has ended");
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

const EVERY: Duration = Duration::from_millis(500);
const STILL: Duration = Duration::from_secs(3);
/// Longer than anything that is closed for being idle.
const REST: Duration = Duration::from_secs(150);
/// Descriptors and threads that come and go by themselves: a name lookup, a pool's thread.
const SPARE: usize = 3;
/// In KiB.
const ALLOWED: f64 = 16.0 * 1024.0;
