//! How many at a time, and who waits for room.

use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering::AcqRel, Ordering::Acquire, Ordering::Relaxed};

use tokio::sync::Notify;

/// Lets at most a number of sessions be open.
///
/// Once it is full it is shut. Where connections wait for it, it stays so until a sixteenth of the room is free: a proxy
/// at its limit takes connections in by the handful instead of going to sleep and waking up for each.
#[derive(Debug)]
pub(crate) struct Gate {
    limit: AtomicU64,
    /// Opens again when no more than these are in.
    reopens_at: AtomicU64,
    /// Twice the number of those who are in, plus one while shut: they have to change together.
    state: AtomicU64,
    opened: Notify,
}

const SHUT: u64 = 1;
const ONE: u64 = 2;

impl Gate {
    /// A gate that opens when a sixteenth of the room is free. A limit of 0 means 1.
    pub(crate) fn new(limit: usize) -> Self {
        Self::with_slack(limit, limit / 16)
    }

    /// A gate that opens as soon as there is any room.
    pub(crate) fn exact(limit: usize) -> Self {
        Self::with_slack(limit, 1)
    }

    fn with_slack(limit: usize, slack: usize) -> Self {
        let (limit, reopens_at) = marks(limit, slack);
        Self {
            limit: limit.into(),
            reopens_at: reopens_at.into(),
            state: AtomicU64::new(0),
            opened: Notify::new(),
        }
    }

    /// Has the limit and the slack of `other` from now on. Who is in stays in.
    pub(crate) fn adjust(&self, other: &Self) {
        self.limit.store(other.limit(), Relaxed);
        let reopens_at = other.reopens_at.load(Relaxed);
        self.reopens_at.store(reopens_at, Relaxed);
        let mut opens = false;
        let adjusted = |state: u64| {
            let inside = state / ONE;
            opens = state & SHUT != 0 && inside <= reopens_at;
            let shut = inside >= other.limit() || (state & SHUT != 0 && !opens);
            Some(inside * ONE + if shut { SHUT } else { 0 })
        };
        // The update never declines.
        let _ = self.state.fetch_update(AcqRel, Acquire, adjusted);
        if opens {
            self.opened.notify_waiters();
        }
    }

    pub(crate) fn limit(&self) -> u64 {
        self.limit.load(Relaxed)
    }

    pub(crate) fn is_shut(&self) -> bool {
        self.state.load(Acquire) & SHUT != 0
    }

    /// Goes in if there is room and the gate is not shut. Whoever went in has to [`leave`](Self::leave).
    pub(crate) fn enter(&self) -> bool {
        let full = self.limit() * ONE;
        let entered = |state: u64| {
            if state & SHUT != 0 {
                return None;
            }
            let state = state + ONE;
            // The last who fits shuts it.
            Some(if state >= full { state | SHUT } else { state })
        };
        self.state.fetch_update(AcqRel, Acquire, entered).is_ok()
    }

    pub(crate) fn leave(&self) {
        let mut opens = false;
        let left = |state: u64| {
            let state = state - ONE;
            opens = state & SHUT != 0 && state / ONE <= self.reopens_at.load(Relaxed);
            Some(if opens { state & !SHUT } else { state })
        };
        // The update never declines.
        let _ = self.state.fetch_update(AcqRel, Acquire, left);
        if opens {
            self.opened.notify_waiters();
        }
    }

    /// Completes when the gate is not shut. Another may be faster to go in then.
    pub(crate) async fn opened(&self) {
        while self.is_shut() {
            let mut opened = pin!(self.opened.notified());
            // Registered before the look, so that an opening in between is not missed.
            opened.as_mut().enable();
            if self.is_shut() {
                opened.await;
            }
        }
    }
}

/// When a gate shuts and when it opens again.
fn marks(limit: usize, slack: usize) -> (u64, u64) {
    let limit = (limit as u64).clamp(1, u64::MAX / 4);
    (limit, limit - (slack as u64).clamp(1, limit))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

    use super::*;

    #[test]
    fn shuts_when_full_and_opens_when_a_sixteenth_is_free() {
        let gate = Gate::new(32);
        let entered = (0..40).filter(|_| gate.enter()).count();
        assert_eq!(entered, 32);
        gate.leave();
        assert!(gate.is_shut() && !gate.enter());
        gate.leave();
        assert!(!gate.is_shut());
        assert!(gate.enter() && gate.enter() && !gate.enter());
        let exact = Gate::exact(32);
        while exact.enter() {}
        exact.leave();
        assert!(exact.enter() && !exact.enter());
    }

    #[test]
    fn a_gate_that_is_adjusted_keeps_who_is_in() {
        let gate = Gate::exact(2);
        assert!(gate.enter() && gate.enter() && !gate.enter());
        gate.adjust(&Gate::exact(3));
        assert!(gate.enter() && !gate.enter());
        gate.adjust(&Gate::exact(1));
        gate.leave();
        gate.leave();
        assert!(!gate.enter());
        gate.leave();
        assert!(gate.enter() && !gate.enter());
    }

    #[test]
    fn the_smallest_gate_still_opens() {
        let gate = Gate::new(0);
        assert!(gate.enter() && !gate.enter());
        gate.leave();
        assert!(gate.enter());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn nobody_is_forgotten_and_nobody_is_too_many() {
        let gate = Arc::new(Gate::new(5));
        let most = Arc::new(AtomicU64::new(0));
        let inside = Arc::new(AtomicU64::new(0));
        let visitors = (0..64).map(|_| {
            let (gate, most, inside) = (gate.clone(), most.clone(), inside.clone());
            tokio::spawn(async move {
                for _ in 0..50 {
                    while !gate.enter() {
                        gate.opened().await;
                    }
                    most.fetch_max(inside.fetch_add(1, SeqCst) + 1, SeqCst);
                    tokio::task::yield_now().await;
                    inside.fetch_sub(1, SeqCst);
                    gate.leave();
                }
            })
        });
        for visitor in visitors.collect::<Vec<_>>() {
            let finished = tokio::time::timeout(std::time::Duration::from_secs(20), visitor).await;
            finished.expect("a visitor who got in").unwrap();
        }
        assert!(most.load(SeqCst) <= 5);
        assert_eq!(gate.state.load(SeqCst), 0);
    }
}
