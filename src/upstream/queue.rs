//! Where requests wait while every server is full: first come, first served, and not for ever.
//!
//! Owns the line. Its head alone waits for a place; the others wait for the turnstile, a mutex that is
//! fair, so nobody overtakes and nobody who gives up leaves a hole.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use fluxheim_config::Queue;
use tokio::sync::{Mutex, Notify};

use super::clock::Tick;
use super::lease::Lease;
use super::pick::Refused;
use super::{NoServer, Pool, Turn};

/// The line of one upstream.
#[derive(Debug, Default)]
pub(super) struct Line {
    waiting: AtomicU32,
    turnstile: Mutex<()>,
    freed: Notify,
}

impl Line {
    /// A place may be free, or a server be back.
    pub(super) fn wake(&self) {
        if self.waiting.load(Ordering::SeqCst) > 0 {
            self.freed.notify_one();
        }
    }

    pub(super) fn waiting(&self) -> u32 {
        self.waiting.load(Ordering::SeqCst)
    }

    fn join(&self, size: u32) -> Option<Waiting<'_>> {
        let next = |now| (now < size).then_some(now + 1);
        self.waiting.fetch_update(Ordering::SeqCst, Ordering::SeqCst, next).ok().map(|_| Waiting(self))
    }
}

/// One request in the line, counted out however it leaves.
struct Waiting<'a>(&'a Line);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Pool {
    /// A server for the next attempt of `turn`, waited for if need be. `retry`: what was sent before is
    /// sent again.
    ///
    /// # Errors
    /// [`NoServer`], which says why there is none.
    pub async fn acquire(self: &Arc<Self>, turn: &mut Turn, retry: bool) -> Result<Lease, NoServer> {
        let line = Arc::clone(turn.shared());
        let queue = self.config.queue;
        // Nobody overtakes those who wait.
        if queue.is_none() || line.line.waiting() == 0 {
            match self.try_acquire(turn, retry, Tick::now()) {
                Ok(lease) => return Ok(lease),
                Err(Refused::Full) => {}
                Err(refused) => return Err(refused.into()),
            }
        }
        let Some(Queue { size, timeout }) = queue else { return Err(NoServer::Full) };
        let _waiting = line.line.join(size).ok_or(NoServer::QueueFull)?;
        let waited = tokio::time::timeout(timeout, self.wait(turn, retry, &line.line)).await;
        waited.unwrap_or(Err(NoServer::QueueTimeout))
    }

    async fn wait(self: &Arc<Self>, turn: &mut Turn, retry: bool, line: &Line) -> Result<Lease, NoServer> {
        let _head = line.turnstile.lock().await;
        loop {
            match self.try_acquire(turn, retry, Tick::now()) {
                Ok(lease) => {
                    // There may be room for the next one, who was not woken for it.
                    line.freed.notify_one();
                    return Ok(lease);
                }
                Err(Refused::Full) => {}
                Err(refused) => return Err(refused.into()),
            }
            // Also looked at now and then: what only time brings (an ejection that ends) wakes nobody.
            let _ = tokio::time::timeout(LOOK, line.freed.notified()).await;
        }
    }
}

/// How often the head of a line looks by itself.
const LOOK: Duration = Duration::from_millis(100);
