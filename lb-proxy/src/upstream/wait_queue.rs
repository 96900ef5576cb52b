//! The queue of sessions that wait for a backend.
//!
//! A session that ends a lease picks for the first waiter and sends it the new lease, instead of waking it to pick itself. So
//! no waiter is woken without a lease, overtaken or forgotten.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lb_core::{Pick, PickError, Tried};
use tokio::sync::oneshot;

use super::hash_key::HashKey;
use crate::embedder_code::Panicked;

/// Lets connections wait while an upstream has no backend for them, in the order of arrival.
#[doc(alias = "maxqueue")]
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Queue {
    /// How many connections may wait; further ones get no backend.
    /// [`UpstreamBuilder::build`](crate::UpstreamBuilder::build) refuses 0.
    #[cfg_attr(
        feature = "serde",
        serde(with = "lb_core::serde_form::Positive::<usize>")
    )]
    pub capacity: usize,
    /// How long each connection may wait. Default: 60 s, as nginx's `queue`.
    #[cfg_attr(
        feature = "serde",
        serde(
            default = "default_timeout",
            with = "lb_core::serde_form::DurationForm"
        )
    )]
    pub timeout: Duration,
    /// What connections may wait for. Default: [`WaitFor::Room`].
    #[cfg_attr(feature = "serde", serde(default))]
    pub wait_for: WaitFor,
}

/// What a connection may wait for.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum WaitFor {
    /// Any backend, even if all are ejected or none is known. After half a second the connection may use backends that it
    /// failed on before. The queue is served at every change and every half second.
    Anything,
    /// Room on a backend that has as many connections as its `max_conns` allows. If every backend failed or none is known,
    /// the connection does not wait.
    #[default]
    Room,
}

const fn default_timeout() -> Duration {
    Duration::from_secs(60)
}

impl Queue {
    /// A queue for `capacity` connections, everything else at its default.
    pub const fn new(capacity: usize) -> Self {
        Self {
            capacity,
            timeout: default_timeout(),
            wait_for: WaitFor::Room,
        }
    }

    /// Sets [`timeout`](field@Self::timeout).
    #[must_use]
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets [`wait_for`](field@Self::wait_for).
    #[must_use]
    pub const fn wait_for(mut self, wait_for: WaitFor) -> Self {
        self.wait_for = wait_for;
        self
    }
}

/// The waiters of an upstream with a [`Queue`].
#[derive(Debug)]
pub(crate) struct WaitQueue {
    waiting: Mutex<Waiters>,
    /// The number of waiters. Read without the lock.
    len: AtomicUsize,
    /// Whether sessions may wait, or could at any time before.
    used: AtomicBool,
}

#[derive(Debug, Default)]
struct Waiters {
    /// `None`: no session may wait.
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
    answer: oneshot::Sender<Result<Pick, Panicked>>,
}

/// The place of one session in the queue.
#[derive(Debug)]
pub(crate) struct Ticket {
    number: u64,
    pub(crate) answer: oneshot::Receiver<Result<Pick, Panicked>>,
}

impl WaitQueue {
    pub(crate) fn new(settings: Option<Queue>) -> Self {
        let wait_queue = Self {
            waiting: Mutex::default(),
            len: AtomicUsize::new(0),
            used: AtomicBool::new(false),
        };
        wait_queue.set(settings);
        wait_queue
    }

    /// Replaces the settings. Present waiters stay.
    pub(crate) fn set(&self, settings: Option<Queue>) {
        self.lock().settings = settings;
        self.used.fetch_or(settings.is_some(), Relaxed);
    }

    pub(crate) fn settings(&self) -> Option<Queue> {
        self.lock().settings
    }

    /// Whether a session may wait for a lease that ends.
    pub(crate) fn is_used(&self) -> bool {
        self.used.load(Relaxed)
    }

    pub(crate) fn len(&self) -> usize {
        self.len.load(Relaxed)
    }

    /// Adds a waiter. `None` if the queue is full.
    ///
    /// The caller must call [`serve`](Self::serve) afterwards: no session has picked for it if a lease ended between the
    /// caller's own pick and this.
    pub(crate) fn join(&self, key: HashKey, tried: Tried) -> Option<Ticket> {
        let mut waiting = self.lock();
        let capacity = waiting.settings.map_or(0, |queue| queue.capacity);
        if waiting.waiters.len() >= capacity {
            return None;
        }
        let number = waiting.next;
        waiting.next += 1;
        let (answer, receiver) = oneshot::channel();
        waiting.waiters.push_back(Waiter {
            number,
            key,
            tried,
            answer,
        });
        self.len.store(waiting.waiters.len(), Relaxed);
        Some(Ticket {
            number,
            answer: receiver,
        })
    }

    /// Lets the waiter use backends again that it has tried, if it is still in the queue.
    pub(crate) fn forget_tried(&self, ticket: &Ticket) {
        let mut waiting = self.lock();
        let at = |waiter: &Waiter| waiter.number;
        if let Ok(i) = waiting.waiters.binary_search_by_key(&ticket.number, at) {
            waiting.waiters[i].tried = Tried::new();
        }
    }

    /// Removes the waiter, if it is still in the queue. Returns a lease that was sent before, which the caller drops.
    pub(crate) fn leave(&self, ticket: &mut Ticket) -> Option<Pick> {
        let mut waiting = self.lock();
        let at = |waiter: &Waiter| waiter.number;
        if let Ok(i) = waiting.waiters.binary_search_by_key(&ticket.number, at) {
            waiting.waiters.remove(i);
            self.len.store(waiting.waiters.len(), Relaxed);
        }
        drop(waiting);
        ticket.answer.try_recv().ok()?.ok()
    }

    /// Picks for the waiters in their order, as long as `pick` finds a backend. A waiter whose pick panics gets the panic.
    pub(crate) fn serve(
        &self,
        pick: impl Fn(&HashKey, &Tried) -> Result<Result<Pick, PickError>, Panicked>,
    ) {
        let mut waiting = self.lock();
        let mut i = 0;
        while let Some(waiter) = waiting.waiters.get(i) {
            let answer = match pick(&waiter.key, &waiter.tried) {
                Ok(Ok(pick)) => Ok(pick),
                Err(panicked) => Err(panicked),
                // No backend is free for any waiter.
                Ok(Err(_)) if waiter.tried.is_empty() => break,
                // This one waits for particular backends; the next may take another.
                Ok(Err(_)) => {
                    i += 1;
                    continue;
                }
            };
            // A waiter leaves the queue under this lock, so its receiver still exists.
            if let Some(waiter) = waiting.waiters.remove(i) {
                drop(waiter.answer.send(answer));
            }
        }
        self.len.store(waiting.waiters.len(), Relaxed);
    }

    /// No code that can panic runs under the lock: `pick` catches the panics of policies.
    fn lock(&self) -> MutexGuard<'_, Waiters> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
