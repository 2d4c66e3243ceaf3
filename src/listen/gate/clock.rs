//! How long a client may take for a head, and how slowly a body may come.
//!
//! Owns both clocks. Only time spent waiting for the client counts: how long the upstream takes to read
//! is not the client's fault.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use crate::wire::Bounds;

/// The limits on how requests come in.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    pub bounds: Bounds,
    /// From a head's first byte to its end.
    pub header_timeout: Duration,
    /// Bytes a second, on average over ten seconds of waiting; `None` asks for none.
    pub min_body_rate: Option<u64>,
    /// HTTP/2 streams reset within ten seconds, beside as many as end well.
    pub h2_resets: u32,
    /// HTTP/2 frames within ten seconds that ask for nothing, beside ten for each frame of data.
    pub h2_control_frames: u32,
    /// HTTP/2 streams at once.
    pub h2_streams: u32,
}

/// Runs while there is something to wait for.
#[derive(Debug)]
pub(super) struct Clock {
    sleep: Pin<Box<Sleep>>,
    /// `None` for a head.
    window: Option<Window>,
}

/// What came of a body, and in what time.
#[derive(Debug, Default)]
struct Window {
    bytes: u64,
    waited: Duration,
    /// Since when the client is waited for, if it is.
    since: Option<Instant>,
}

/// What took too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    Head,
    Body,
}

impl Clock {
    pub(super) fn start(head: bool, pace: &Pace) -> Self {
        let (limit, window) =
            if head { (pace.header_timeout, None) } else { (WINDOW, Some(Window::default())) };
        Self { sleep: Box::pin(tokio::time::sleep(limit)), window }
    }

    /// Nothing has come: ready once that is too little.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, pace: &Pace) -> Poll<Due> {
        let Some(window) = &mut self.window else {
            return self.sleep.as_mut().poll(cx).map(|()| Due::Head);
        };
        loop {
            if window.since.is_none() {
                let now = Instant::now();
                window.since = Some(now);
                self.sleep.as_mut().reset(now + WINDOW.saturating_sub(window.waited));
            }
            ready!(self.sleep.as_mut().poll(cx));
            if !window.is_fast_enough(pace) {
                return Poll::Ready(Due::Body);
            }
            *window = Window::default();
        }
    }

    /// The client sent so much. Whether it was enough is asked only once there is no more to read: what
    /// came while nobody did was not late.
    pub(super) fn took(&mut self, read: usize) {
        let Some(window) = &mut self.window else { return };
        window.waited += window.since.take().map_or(Duration::ZERO, |since| since.elapsed());
        window.bytes = window.bytes.saturating_add(read as u64);
    }
}

impl Window {
    fn is_fast_enough(&self, pace: &Pace) -> bool {
        pace.min_body_rate.is_none_or(|rate| self.bytes >= rate.saturating_mul(WINDOW.as_secs()))
    }
}

/// Over which the rate of a body is taken; the first one is its grace.
const WINDOW: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Pace = Pace {
        bounds: Bounds { size: 1024, fields: 10 },
        header_timeout: Duration::from_secs(2),
        min_body_rate: Some(500),
        h2_resets: 200,
        h2_control_frames: 1000,
        h2_streams: 100,
    };

    async fn wait(clock: &mut Clock, time: Duration) -> Option<Due> {
        let due = std::future::poll_fn(|cx| clock.poll(cx, &PACE));
        tokio::time::timeout(time, due).await.ok()
    }

    #[tokio::test(start_paused = true)]
    async fn ends_a_head_at_its_timeout_whatever_comes() {
        let mut clock = Clock::start(true, &PACE);
        assert_eq!(wait(&mut clock, Duration::from_secs(1)).await, None);
        clock.took(100);
        assert_eq!(wait(&mut clock, Duration::from_millis(900)).await, None);
        assert_eq!(wait(&mut clock, Duration::from_millis(200)).await, Some(Due::Head));
    }

    #[tokio::test(start_paused = true)]
    async fn ends_a_body_that_trickles_after_ten_seconds() {
        let mut clock = Clock::start(false, &PACE);
        for _ in 0..9 {
            assert_eq!(wait(&mut clock, Duration::from_secs(1)).await, None);
            clock.took(400);
        }
        assert_eq!(wait(&mut clock, Duration::from_millis(1100)).await, Some(Due::Body));
    }

    #[tokio::test(start_paused = true)]
    async fn judges_each_window_by_itself() {
        let mut clock = Clock::start(false, &PACE);
        assert_eq!(wait(&mut clock, Duration::from_secs(1)).await, None);
        clock.took(1_000_000);
        assert_eq!(wait(&mut clock, Duration::from_secs(18)).await, None);
        assert_eq!(wait(&mut clock, Duration::from_secs(2)).await, Some(Due::Body));
    }

    #[tokio::test(start_paused = true)]
    async fn does_not_count_time_in_which_nobody_waits() {
        let mut clock = Clock::start(false, &PACE);
        for _ in 0..9 {
            assert_eq!(wait(&mut clock, Duration::from_secs(1)).await, None);
            clock.took(1);
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
        assert_eq!(wait(&mut clock, Duration::from_millis(900)).await, None);
        assert_eq!(wait(&mut clock, Duration::from_millis(200)).await, Some(Due::Body));
    }
}
