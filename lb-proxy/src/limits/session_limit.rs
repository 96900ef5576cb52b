//! A limit on open sessions.

use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering::AcqRel, Ordering::Acquire, Ordering::Relaxed};

use tokio::sync::Notify;

/// A counting semaphore of sessions, with hysteresis.
///
/// The acquire that takes the last place closes the limit. A limit with hysteresis stays closed until a sixteenth of the
/// places is free: a proxy at its limit then accepts several connections at a time instead of sleeping and waking up for
/// each one.
#[derive(Debug)]
pub(crate) struct SessionLimit {
    max: AtomicU64,
    /// A closed limit opens when no more than this number of sessions is left.
    reopens_at: AtomicU64,
    /// Twice the number of open sessions, plus [`CLOSED`]: one word, because both must change together.
    ///
    /// AcqRel on each update: pairs with the Acquire loads and updates here, so that a session that acquires a released
    /// place sees what the releasing session wrote before.
    state: AtomicU64,
    available: Notify,
}

const CLOSED: u64 = 1;
const SESSION: u64 = 2;

impl SessionLimit {
    /// A limit that opens again when a sixteenth of `max` is free. A `max` of 0 means 1.
    pub(crate) fn with_hysteresis(max: usize) -> Self {
        Self::with_slack(max, max / 16)
    }

    /// A limit that opens again as soon as one place is free. A `max` of 0 means 1.
    pub(crate) fn exact(max: usize) -> Self {
        Self::with_slack(max, 1)
    }

    fn with_slack(max: usize, slack: usize) -> Self {
        let (max, reopens_at) = marks(max, slack);
        Self {
            max: max.into(),
            reopens_at: reopens_at.into(),
            state: AtomicU64::new(0),
            available: Notify::new(),
        }
    }

    /// Takes over the maximum and the slack of `other`. Open sessions keep their places.
    pub(crate) fn adjust(&self, other: &Self) {
        self.max.store(other.max(), Relaxed);
        let reopens_at = other.reopens_at.load(Relaxed);
        self.reopens_at.store(reopens_at, Relaxed);
        let mut opens = false;
        let adjusted = |state: u64| {
            let sessions = state / SESSION;
            opens = state & CLOSED != 0 && sessions <= reopens_at;
            let closed = sessions >= other.max() || (state & CLOSED != 0 && !opens);
            Some(sessions * SESSION + if closed { CLOSED } else { 0 })
        };
        // The update never declines.
        let _ = self.state.fetch_update(AcqRel, Acquire, adjusted);
        if opens {
            self.available.notify_waiters();
        }
    }

    pub(crate) fn max(&self) -> u64 {
        self.max.load(Relaxed)
    }

    /// How many places are taken.
    pub(crate) fn open(&self) -> u64 {
        self.state.load(Acquire) / SESSION
    }

    /// Whether the limit is closed.
    pub(crate) fn is_reached(&self) -> bool {
        self.state.load(Acquire) & CLOSED != 0
    }

    /// Takes a place, if the limit is not closed. The caller must [`release`](Self::release) it.
    pub(crate) fn try_acquire(&self) -> bool {
        let full = self.max() * SESSION;
        let acquired = |state: u64| {
            if state & CLOSED != 0 {
                return None;
            }
            let state = state + SESSION;
            Some(if state >= full { state | CLOSED } else { state })
        };
        self.state.fetch_update(AcqRel, Acquire, acquired).is_ok()
    }

    /// Gives a place back.
    pub(crate) fn release(&self) {
        let mut opens = false;
        let released = |state: u64| {
            let state = state - SESSION;
            opens = state & CLOSED != 0 && state / SESSION <= self.reopens_at.load(Relaxed);
            Some(if opens { state & !CLOSED } else { state })
        };
        // The update never declines.
        let _ = self.state.fetch_update(AcqRel, Acquire, released);
        if opens {
            self.available.notify_waiters();
        }
    }

    /// Completes when the limit is not closed. Another session may take the place first.
    pub(crate) async fn available(&self) {
        while self.is_reached() {
            let mut available = pin!(self.available.notified());
            // Registered before the state is read, so that a release in between is not missed.
            available.as_mut().enable();
            if self.is_reached() {
                available.await;
            }
        }
    }
}

/// The maximum, and the number of sessions at which a closed limit opens.
fn marks(max: usize, slack: usize) -> (u64, u64) {
    let max = (max as u64).clamp(1, u64::MAX / 4);
    (max, max - (slack as u64).clamp(1, max))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

    use super::*;

    #[test]
    fn closes_when_full_and_opens_when_a_sixteenth_is_free() {
        let limit = SessionLimit::with_hysteresis(32);
        let acquired = (0..40).filter(|_| limit.try_acquire()).count();
        assert_eq!(acquired, 32);
        limit.release();
        assert!(limit.is_reached() && !limit.try_acquire());
        limit.release();
        assert!(!limit.is_reached());
        assert!(limit.try_acquire() && limit.try_acquire() && !limit.try_acquire());
        let exact = SessionLimit::exact(32);
        while exact.try_acquire() {}
        exact.release();
        assert!(exact.try_acquire() && !exact.try_acquire());
    }

    #[test]
    fn a_limit_that_is_adjusted_keeps_its_open_sessions() {
        let limit = SessionLimit::exact(2);
        assert!(limit.try_acquire() && limit.try_acquire() && !limit.try_acquire());
        limit.adjust(&SessionLimit::exact(3));
        assert!(limit.try_acquire() && !limit.try_acquire());
        limit.adjust(&SessionLimit::exact(1));
        limit.release();
        limit.release();
        assert!(!limit.try_acquire());
        limit.release();
        assert!(limit.try_acquire() && !limit.try_acquire());
    }

    #[test]
    fn the_smallest_limit_still_opens() {
        let limit = SessionLimit::with_hysteresis(0);
        assert!(limit.try_acquire() && !limit.try_acquire());
        limit.release();
        assert!(limit.try_acquire());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn every_waiting_session_gets_a_place_and_none_is_too_many() {
        let limit = Arc::new(SessionLimit::with_hysteresis(5));
        let most = Arc::new(AtomicU64::new(0));
        let open = Arc::new(AtomicU64::new(0));
        let sessions = (0..64).map(|_| {
            let (limit, most, open) = (limit.clone(), most.clone(), open.clone());
            tokio::spawn(async move {
                for _ in 0..50 {
                    while !limit.try_acquire() {
                        limit.available().await;
                    }
                    most.fetch_max(open.fetch_add(1, SeqCst) + 1, SeqCst);
                    tokio::task::yield_now().await;
                    open.fetch_sub(1, SeqCst);
                    limit.release();
                }
            })
        });
        for session in sessions.collect::<Vec<_>>() {
            let finished = tokio::time::timeout(std::time::Duration::from_secs(20), session).await;
            finished.expect("a session with a place").unwrap();
        }
        assert!(most.load(SeqCst) <= 5);
        assert_eq!(limit.state.load(SeqCst), 0);
    }
}
