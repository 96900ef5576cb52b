//! What happens to the sessions of a backend that leaves or falls ill.
//!
//! A backend has a [`Tie`] from the first session on that wants to know. Sessions watch it; without a [`Parting`] that
//! ends sessions nobody does, and there is none.

use std::collections::{HashMap, HashSet};
use std::future::pending;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lb_core::{Backend, Delta, Snapshot};
use tokio::select;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::close_reason::CloseReason;

/// What happens to the sessions of a backend that is lost.
///
/// They are ended one by one and evenly over the time that is given, so that their clients do not come back all at once.
/// A session that is ended is reset on both sides, after the bytes that were acknowledged before, as long as their reader
/// takes some within [`Timeouts::idle`](crate::Timeouts::idle). A backend that returns before keeps the sessions that it still has.
#[doc(
    alias = "on-marked-down",
    alias = "close_connections_on_host_health_failure"
)]
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Parting {
    /// They are ended, over `spread` from the loss on; with zero at once.
    Close {
        /// Over how long.
        spread: Duration,
    },
    /// They have time to end by themselves; what is left is ended by `within` after the loss.
    Drain {
        /// When the last one is ended.
        within: Duration,
        /// How long before that the first one is. At most `within`.
        spread: Duration,
    },
    /// They live on until they end by themselves.
    #[default]
    Keep,
}

impl Parting {
    /// When the session with this `share` of the spread, from 0 to 1, is ended. `None` if it is not.
    fn moment(self, share: f64) -> Option<Duration> {
        match self {
            Self::Close { spread } => Some(spread.mul_f64(share)),
            Self::Drain { within, spread } => {
                let spread = spread.min(within);
                Some(within.saturating_sub(spread.mul_f64(1.0 - share)))
            }
            Self::Keep => None,
        }
    }
}

/// How the sessions of an upstream part from its backends.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Partings {
    pub(crate) removed: Parting,
    pub(crate) unhealthy: Parting,
}

/// The ties of an upstream.
#[derive(Debug, Default)]
pub(crate) struct Ties {
    /// Whether any session is ever ended, to be read without the lock.
    used: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    partings: Partings,
    by_addr: HashMap<SocketAddr, Arc<Tie>>,
}

/// What the sessions of one backend watch.
#[derive(Debug)]
struct Tie {
    instance: Option<Arc<str>>,
    loss: watch::Sender<Option<Loss>>,
    /// Numbers the sessions.
    sessions: AtomicU32,
}

/// That a backend is lost.
#[derive(Clone, Copy, Debug)]
struct Loss {
    reason: CloseReason,
    since: Instant,
    parting: Parting,
}

impl Ties {
    pub(crate) fn new(partings: Partings) -> Self {
        let ties = Self::default();
        ties.set(partings);
        ties
    }

    /// Parts in another way from now on.
    pub(crate) fn set(&self, partings: Partings) {
        self.lock().partings = partings;
        self.used.store(partings != Partings::default(), Relaxed);
    }

    pub(crate) fn partings(&self) -> Partings {
        self.lock().partings
    }

    /// Whether any session is ever ended.
    pub(crate) fn is_used(&self) -> bool {
        self.used.load(Relaxed)
    }

    /// Ties a session to `backend`. `is_member` is asked only for the first one: a backend that left in between had
    /// nobody to tell.
    pub(crate) fn tie(&self, backend: &Backend, is_member: impl FnOnce() -> bool) -> Watcher {
        let mut state = self.lock();
        let State { partings, by_addr } = &mut *state;
        let tie = by_addr.entry(backend.addr).or_insert_with(|| {
            let tie = Tie::new(backend.instance.clone());
            if !is_member() {
                tie.lose(CloseReason::BackendRemoved, partings.removed);
            }
            Arc::new(tie)
        });
        tie.watch()
    }

    /// Tells the sessions of what changed. Must be called after the change was published.
    pub(crate) fn update(&self, delta: &Delta, snapshot: &Snapshot) {
        if !self.is_used() {
            return;
        }
        let mut state = self.lock();
        let State { partings, by_addr } = &mut *state;
        by_addr.retain(|_, tie| tie.loss.receiver_count() > 0);
        if by_addr.is_empty() {
            return;
        }
        for addr in &delta.removed {
            if let Some(tie) = by_addr.get(addr) {
                tie.lose(CloseReason::BackendRemoved, partings.removed);
            }
        }
        let came: HashSet<&SocketAddr> = delta.added.iter().chain(&delta.changed).collect();
        for backend in snapshot.iter().filter(|b| came.contains(&b.addr)) {
            let Some(tie) = by_addr.get(&backend.addr) else {
                continue;
            };
            if tie.instance == backend.instance {
                tie.find(CloseReason::BackendRemoved);
            } else {
                // Somebody else has its address now; it does not return.
                tie.lose(CloseReason::BackendRemoved, partings.removed);
                by_addr.remove(&backend.addr);
            }
        }
    }

    /// The backend at `addr` fell ill.
    pub(crate) fn unhealthy(&self, addr: SocketAddr) {
        if self.is_used() {
            let state = self.lock();
            if let Some(tie) = state.by_addr.get(&addr) {
                tie.lose(CloseReason::BackendUnhealthy, state.partings.unhealthy);
            }
        }
    }

    /// The backend at `addr` is well.
    pub(crate) fn healthy(&self, addr: SocketAddr) {
        if self.is_used()
            && let Some(tie) = self.lock().by_addr.get(&addr)
        {
            tie.find(CloseReason::BackendUnhealthy);
        }
    }

    /// No code that can panic runs under the lock.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tie {
    fn new(instance: Option<Arc<str>>) -> Self {
        Self {
            instance,
            loss: watch::Sender::new(None),
            sessions: AtomicU32::new(0),
        }
    }

    /// A removal counts more than an illness, and what is lost already stays so since then.
    fn lose(&self, reason: CloseReason, parting: Parting) {
        let lost = Loss {
            reason,
            since: Instant::now(),
            parting,
        };
        self.loss.send_if_modified(|loss| {
            let news = parting != Parting::Keep
                && loss.is_none_or(|old| {
                    old.reason != reason && reason == CloseReason::BackendRemoved
                });
            if news {
                *loss = Some(lost);
            }
            news
        });
    }

    /// What was lost for `reason` is back.
    fn find(&self, reason: CloseReason) {
        self.loss.send_if_modified(|loss| {
            let back = loss.is_some_and(|loss| loss.reason == reason);
            if back {
                *loss = None;
            }
            back
        });
    }

    fn watch(self: &Arc<Self>) -> Watcher {
        /// The golden ratio's part of 2^32: however many sessions follow each other, their shares are spread evenly.
        const STEP: u32 = 0x9e37_79b9;
        let number = self.sessions.fetch_add(1, Relaxed);
        Watcher {
            share: f64::from(number.wrapping_mul(STEP)) / f64::from(u32::MAX),
            loss: self.loss.subscribe(),
            _tie: Arc::clone(self),
        }
    }
}

/// One session's tie to its backend.
#[derive(Debug)]
pub(crate) struct Watcher {
    /// Its share of the spread.
    share: f64,
    loss: watch::Receiver<Option<Loss>>,
    _tie: Arc<Tie>,
}

impl Watcher {
    /// Completes when the session is to be ended.
    pub(crate) async fn parted(mut self) -> CloseReason {
        loop {
            let loss = *self.loss.borrow_and_update();
            let due = async {
                let due = loss.and_then(|loss| {
                    let at = loss.since.checked_add(loss.parting.moment(self.share)?)?;
                    Some((at, loss.reason))
                });
                match due {
                    Some((at, reason)) => {
                        sleep_until(at).await;
                        reason
                    }
                    None => pending().await,
                }
            };
            select! {
                // A return in the last moment counts.
                biased;
                // The sender lives as long as `self`.
                _ = self.loss.changed() => {}
                reason = due => return reason,
            }
        }
    }
}

#[cfg(test)]
mod tests;
