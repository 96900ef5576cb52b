//! The end of open sessions when their backend is removed, ejected or unhealthy.
//!
//! An upstream with an [`OnBackendLoss`] other than `Keep` has a [`LossSignal`] for each backend with sessions. The updater
//! and the leases write it, the sessions watch it. An upstream without one has no signals.

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

/// What happens to open sessions when their backend is removed, ejected or unhealthy.
///
/// Sessions are ended one by one, evenly over the given time, so that their clients do not reconnect all at once. Ending
/// resets both sides, after the bytes that were acknowledged before, as long as the reader's kernel answers within
/// [`Timeouts::idle`](crate::Timeouts::idle) and accepts some within max(`idle`, 60 s). Without `idle` both times are 60 s.
/// A backend that returns before keeps its remaining sessions.
#[doc(
    alias = "on-marked-down",
    alias = "close_connections_on_host_health_failure"
)]
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(
    feature = "serde",
    serde(deny_unknown_fields, rename_all = "snake_case")
)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum OnBackendLoss {
    /// Sessions are ended over `spread` from the loss on; with zero at once.
    Close {
        /// The time from the first end to the last. In files: default 0s.
        #[cfg_attr(
            feature = "serde",
            serde(default, with = "lb_core::serde_form::DurationForm")
        )]
        spread: Duration,
    },
    /// Sessions have time to end by themselves; the remaining ones are ended by `within` after the loss.
    Drain {
        /// The time from the loss to the last end.
        #[cfg_attr(feature = "serde", serde(with = "lb_core::serde_form::DurationForm"))]
        within: Duration,
        /// The time from the first end to the last. At most `within`. In files: default 0s.
        #[cfg_attr(
            feature = "serde",
            serde(default, with = "lb_core::serde_form::DurationForm")
        )]
        spread: Duration,
    },
    /// Sessions continue until they end by themselves.
    #[default]
    Keep,
}

impl OnBackendLoss {
    /// The delay from the loss to the end of the session with this `share` of the spread, from 0 to 1. `None`: no end.
    fn delay(self, share: f64) -> Option<Duration> {
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

/// What an upstream does for each kind of loss.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct LossConfig {
    pub(crate) removed: OnBackendLoss,
    pub(crate) unhealthy: OnBackendLoss,
}

/// The loss signals of an upstream.
#[derive(Debug, Default)]
pub(crate) struct SessionDrain {
    /// Whether a loss ends sessions. Read without the lock.
    used: AtomicBool,
    signals: Mutex<LossSignals>,
}

#[derive(Debug, Default)]
struct LossSignals {
    on_loss: LossConfig,
    by_addr: HashMap<SocketAddr, Arc<LossSignal>>,
}

/// Signals the loss of one backend to its sessions.
#[derive(Debug)]
struct LossSignal {
    instance: Option<Arc<str>>,
    loss: watch::Sender<Option<Loss>>,
    /// The number of the next session.
    sessions: AtomicU32,
}

/// The loss of a backend.
#[derive(Clone, Copy, Debug)]
struct Loss {
    reason: CloseReason,
    since: Instant,
    on_loss: OnBackendLoss,
}

impl SessionDrain {
    pub(crate) fn new(on_loss: LossConfig) -> Self {
        let drain = Self::default();
        drain.set(on_loss);
        drain
    }

    /// Replaces the configuration. Losses that have begun keep theirs.
    pub(crate) fn set(&self, on_loss: LossConfig) {
        self.lock().on_loss = on_loss;
        self.used.store(on_loss != LossConfig::default(), Relaxed);
    }

    /// Whether a loss ends sessions.
    pub(crate) fn is_used(&self) -> bool {
        self.used.load(Relaxed)
    }

    /// Registers a session of `backend`. Calls `is_member` only for the first session: a backend that was removed before it
    /// had no signal.
    pub(crate) fn watch(&self, backend: &Backend, is_member: impl FnOnce() -> bool) -> LossWatcher {
        let mut state = self.lock();
        let LossSignals { on_loss, by_addr } = &mut *state;
        let signal = by_addr.entry(backend.addr).or_insert_with(|| {
            let signal = LossSignal::new(backend.instance.clone());
            if !is_member() {
                signal.lose(CloseReason::BackendRemoved, on_loss.removed);
            }
            Arc::new(signal)
        });
        signal.watch()
    }

    /// Signals what changed to the sessions. Must be called after the change was published.
    pub(crate) fn update(&self, delta: &Delta, snapshot: &Snapshot) {
        if !self.is_used() {
            return;
        }
        let mut state = self.lock();
        let LossSignals { on_loss, by_addr } = &mut *state;
        by_addr.retain(|_, signal| signal.loss.receiver_count() > 0);
        if by_addr.is_empty() {
            return;
        }
        for addr in &delta.removed {
            if let Some(signal) = by_addr.get(addr) {
                signal.lose(CloseReason::BackendRemoved, on_loss.removed);
            }
        }
        let came: HashSet<&SocketAddr> = delta.added.iter().chain(&delta.changed).collect();
        for backend in snapshot.iter().filter(|b| came.contains(&b.addr)) {
            let Some(signal) = by_addr.get(&backend.addr) else {
                continue;
            };
            if signal.instance == backend.instance {
                signal.recover(CloseReason::BackendRemoved);
            } else {
                // Another instance has the address now. The former instance does not return.
                signal.lose(CloseReason::BackendRemoved, on_loss.removed);
                by_addr.remove(&backend.addr);
            }
        }
    }

    /// Signals that the backend at `addr` is ejected or unhealthy.
    pub(crate) fn unhealthy(&self, addr: SocketAddr) {
        if self.is_used() {
            let state = self.lock();
            if let Some(signal) = state.by_addr.get(&addr) {
                signal.lose(CloseReason::BackendUnhealthy, state.on_loss.unhealthy);
            }
        }
    }

    /// Signals that the backend at `addr` is healthy.
    pub(crate) fn healthy(&self, addr: SocketAddr) {
        if self.is_used()
            && let Some(signal) = self.lock().by_addr.get(&addr)
        {
            signal.recover(CloseReason::BackendUnhealthy);
        }
    }

    /// No code that can panic runs under the lock.
    fn lock(&self) -> MutexGuard<'_, LossSignals> {
        self.signals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LossSignal {
    fn new(instance: Option<Arc<str>>) -> Self {
        Self {
            instance,
            loss: watch::Sender::new(None),
            sessions: AtomicU32::new(0),
        }
    }

    /// Signals a loss, unless one is signalled already. A removal replaces a loss of health, and its time counts.
    fn lose(&self, reason: CloseReason, on_loss: OnBackendLoss) {
        let lost = Loss {
            reason,
            since: Instant::now(),
            on_loss,
        };
        self.loss.send_if_modified(|loss| {
            let replaces = on_loss != OnBackendLoss::Keep
                && loss.is_none_or(|old| {
                    old.reason != reason && reason == CloseReason::BackendRemoved
                });
            if replaces {
                *loss = Some(lost);
            }
            replaces
        });
    }

    /// Withdraws a loss for `reason`.
    fn recover(&self, reason: CloseReason) {
        self.loss.send_if_modified(|loss| {
            let back = loss.is_some_and(|loss| loss.reason == reason);
            if back {
                *loss = None;
            }
            back
        });
    }

    fn watch(self: &Arc<Self>) -> LossWatcher {
        /// The golden ratio's part of 2^32: the shares of any number of successive sessions are spread evenly.
        const STEP: u32 = 0x9e37_79b9;
        let number = self.sessions.fetch_add(1, Relaxed);
        LossWatcher {
            share: f64::from(number.wrapping_mul(STEP)) / f64::from(u32::MAX),
            loss: self.loss.subscribe(),
            _signal: Arc::clone(self),
        }
    }
}

/// One session's receiver of its backend's loss.
#[derive(Debug)]
pub(crate) struct LossWatcher {
    /// The session's share of the spread.
    share: f64,
    loss: watch::Receiver<Option<Loss>>,
    _signal: Arc<LossSignal>,
}

impl LossWatcher {
    /// Completes when the session is to be ended.
    pub(crate) async fn due(mut self) -> CloseReason {
        loop {
            let loss = *self.loss.borrow_and_update();
            let due = async {
                let due = loss.and_then(|loss| {
                    let at = loss.since.checked_add(loss.on_loss.delay(self.share)?)?;
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
                // A backend that returns at the last moment keeps the session.
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
