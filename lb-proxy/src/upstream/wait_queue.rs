//! Where connections wait for a backend to be free.
//!
//! A lease that ends is handed on, not announced: whoever gives one back picks for the first in the queue and sends it
//! the lease. So nobody can be woken in vain, overtaken, or forgotten.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lb_core::{Pick, PickError, Tried};
use tokio::sync::oneshot;

use super::hash_key::HashKey;

/// Lets connections wait while an upstream has no backend for them: first come, first served.
#[doc(alias = "maxqueue")]
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Queue {
    /// How many may wait; what comes on top gets no backend.
    pub capacity: NonZeroUsize,
    /// How long each may wait. Default: 60 s, as nginx's `queue`.
    pub timeout: Duration,
    /// What they may wait for. Default: [`WaitFor::Room`].
    pub wait_for: WaitFor,
}

/// What a connection may wait for.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum WaitFor {
    /// For any backend, even if all are ejected or none is known; backends that failed this connection get another
    /// chance after the wait. Looks again every half second, besides at every change.
    Anything,
    /// For a place on a backend that has as many connections as its `max_conns` allows. Where every backend failed
    /// or none is known there is nothing to wait for.
    #[default]
    Room,
}

impl Queue {
    /// A queue for `capacity` connections, everything else at its default.
    pub const fn new(capacity: NonZeroUsize) -> Self {
        Self {
            capacity,
            timeout: Duration::from_secs(60),
            wait_for: WaitFor::Room,
        }
    }

    /// Sets [`timeout`](Self::timeout).
    #[must_use]
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets [`wait_for`](Self::wait_for).
    #[must_use]
    pub const fn wait_for(mut self, wait_for: WaitFor) -> Self {
        self.wait_for = wait_for;
        self
    }
}

/// A [`Queue`] at work.
#[derive(Debug)]
pub(crate) struct Line {
    waiting: Mutex<Waiting>,
    /// How many wait, to be read without the lock.
    len: AtomicUsize,
    /// Whether anybody may wait, or did once.
    used: AtomicBool,
}

#[derive(Debug, Default)]
struct Waiting {
    /// `None` where nobody may wait.
    settings: Option<Queue>,
    /// In the order of their numbers.
    waiters: VecDeque<Waiter>,
    next: u64,
}

#[derive(Debug)]
struct Waiter {
    number: u64,
    key: HashKey,
    tried: Tried,
    answer: oneshot::Sender<Pick>,
}

/// A place in a line.
#[derive(Debug)]
pub(crate) struct Place {
    number: u64,
    pub(crate) answer: oneshot::Receiver<Pick>,
}

impl Line {
    pub(crate) fn new(settings: Option<Queue>) -> Self {
        let line = Self {
            waiting: Mutex::default(),
            len: AtomicUsize::new(0),
            used: AtomicBool::new(false),
        };
        line.set(settings);
        line
    }

    /// Has other settings from now on. Who waits goes on waiting.
    pub(crate) fn set(&self, settings: Option<Queue>) {
        self.lock().settings = settings;
        self.used.fetch_or(settings.is_some(), Relaxed);
    }

    pub(crate) fn settings(&self) -> Option<Queue> {
        self.lock().settings
    }

    /// Whether a lease that ends may be waited for.
    pub(crate) fn is_used(&self) -> bool {
        self.used.load(Relaxed)
    }

    pub(crate) fn len(&self) -> usize {
        self.len.load(Relaxed)
    }

    /// Queues up. `None` if there is no room.
    ///
    /// What became free between the caller's own attempt to pick and this was given to nobody:
    /// [`serve`](Self::serve) has to be called afterwards.
    pub(crate) fn join(&self, key: HashKey, tried: Tried) -> Option<Place> {
        let mut waiting = self.lock();
        let capacity = waiting.settings.map_or(0, |queue| queue.capacity.get());
        if waiting.waiters.len() >= capacity {
            return None;
        }
        let number = waiting.next;
        waiting.next += 1;
        let (answer, place) = oneshot::channel();
        waiting.waiters.push_back(Waiter {
            number,
            key,
            tried,
            answer,
        });
        self.len.store(waiting.waiters.len(), Relaxed);
        Some(Place {
            number,
            answer: place,
        })
    }

    /// Leaves the line, if it is still in it. A lease that was sent meanwhile is for the caller to give back.
    pub(crate) fn leave(&self, place: &mut Place) -> Option<Pick> {
        let mut waiting = self.lock();
        let at = |waiter: &Waiter| waiter.number;
        if let Ok(i) = waiting.waiters.binary_search_by_key(&place.number, at) {
            waiting.waiters.remove(i);
            self.len.store(waiting.waiters.len(), Relaxed);
        }
        drop(waiting);
        place.answer.try_recv().ok()
    }

    /// Picks for those who wait, in their order, as long as `pick` finds something.
    pub(crate) fn serve(&self, pick: impl Fn(&HashKey, &Tried) -> Result<Pick, PickError>) {
        let mut waiting = self.lock();
        let mut i = 0;
        while let Some(waiter) = waiting.waiters.get(i) {
            match pick(&waiter.key, &waiter.tried) {
                Ok(pick) => {
                    // Whoever leaves takes its place out of the line under this lock, so it is still there to answer.
                    if let Some(waiter) = waiting.waiters.remove(i) {
                        drop(waiter.answer.send(pick));
                    }
                }
                // Nothing is free for anybody.
                Err(_) if waiter.tried.is_empty() => break,
                // This one waits for particular backends; the next may take another.
                Err(_) => i += 1,
            }
        }
        self.len.store(waiting.waiters.len(), Relaxed);
    }

    /// No code that can panic runs under the lock but a policy's, which leaves the line as it is.
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
