//! The lease of one connection, and what its owner reports.

use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroU64};
use std::sync::Arc as StdArc;
use std::time::Duration;

use super::limited::take_permitted;
use super::response_timer::ResponseTimer;
use crate::backend::Backend;
use crate::state::backend_state::BackendState;
use crate::sync::Arc;
use crate::sync::atomic::{Ordering::SeqCst, fence};
use crate::time::Timestamp;

/// A lease: the backend that was picked, and one of its connections in flight. Dropping it ends the lease.
///
/// Two words, as has `Option<Pick>`, so that it travels in registers.
#[doc(alias = "lease", alias = "guard")]
#[derive(Debug)]
#[must_use = "dropping a Pick ends its lease: the connection no longer counts"]
pub struct Pick {
    /// The reference that is the lease. `None` after the lease has ended, while it is dropped.
    state: Option<Arc<BackendState>>,
    taken_at: TakenAt,
}

impl Pick {
    /// Takes a lease of the backend, unless `max_conns` are in flight. The caller has to update the load index.
    #[inline]
    pub(crate) fn take(
        state: &Arc<BackendState>,
        max_conns: Option<NonZeroU32>,
        now: Timestamp,
    ) -> Option<Self> {
        let (reference, permit) = match max_conns {
            None => (Arc::clone(state), Permit::NotNeeded),
            Some(max) => (take_permitted(state, max)?, Permit::Acquired),
        };
        Some(Self {
            state: Some(reference),
            taken_at: TakenAt::new(now, permit),
        })
    }

    /// Where to connect to.
    pub fn addr(&self) -> SocketAddr {
        self.state().addr()
    }

    /// The backend to connect to, as its source described it last. Costs two reference counts; [`addr`](Self::addr)
    /// costs none.
    pub fn backend(&self) -> Arc<Backend> {
        Arc::clone(&self.state().description())
    }

    /// Reports that the connection was established at `now`. The time since the pick is a sample of the backend's
    /// connect time. Failures are forgiven as [`FailLimit`](crate::FailLimit) says.
    pub fn connected(&self, now: Timestamp) {
        self.observe(now.saturating_since(self.taken_at.timestamp()), now);
    }

    /// Reports that the backend answered after `latency`, which the caller measured: a success as [`connected`](Self::connected),
    /// with `latency` as the sample of the connect time, which [`P2c::peak_ewma`](crate::policy::P2c::peak_ewma) weighs. For
    /// balancers of requests over open connections.
    pub fn observe(&self, latency: Duration, now: Timestamp) {
        let state = self.state();
        state.succeeded(now);
        state.connect_time.add(latency, now);
    }

    /// Starts to measure this connection, for a policy that weighs response times ([`LeastTime`](crate::policy::LeastTime)).
    /// `None` until such a policy has been compiled for the backend, at the cost of one load; from then on one reference
    /// count, also after a change to another policy.
    ///
    /// Call it once, right after the pick. Without it such a policy learns nothing of the connection.
    pub fn response_timer(&self) -> Option<ResponseTimer> {
        let state = self.state();
        let times = state.response_times()?;
        let now = self.taken_at.timestamp();
        times.picked(state.fail_timeout(), now);
        Some(ResponseTimer::new(times, now))
    }

    /// What the embedder keeps of the backend, such as counters: the first call for a backend creates it, and it survives
    /// updates as the rest of the backend's state does. `None` if the backend has data of another type. Costs one reference
    /// count.
    ///
    /// # Panics
    ///
    /// If `create` panics. The next call creates the data.
    pub fn data<T: Send + Sync + 'static>(
        &self,
        create: impl FnOnce(&Arc<Backend>) -> StdArc<T>,
    ) -> Option<StdArc<T>> {
        let state = self.state();
        let data = state.data(|| create(&state.description()));
        StdArc::clone(data).downcast().ok()
    }

    /// Reports that the connection could not be established although the backend's host answered, such as with a refusal,
    /// and ends the lease.
    pub fn failed(self, now: Timestamp) -> FailureEffect {
        FailureEffect::of(self.state().failed(now))
    }

    /// Reports that the connection could not be established and nothing answered: no route, an unreachable host, a time-out.
    /// Ends the lease. Counts as [`failed`](Self::failed), unless the path to all backends is gone: see
    /// [`CommonOutage`](crate::CommonOutage).
    pub fn unanswered(self, now: Timestamp) -> FailureEffect {
        let picked_at = self.taken_at.timestamp();
        FailureEffect::of(self.state().unanswered(picked_at, now))
    }

    /// Lets the success of this connection end the ejection that its backend has, as that of a trial does.
    pub(crate) fn forgive_if_connected(&self) {
        self.state().failures.forgive_at_success();
    }

    fn state(&self) -> &BackendState {
        self.state
            .as_ref()
            .expect("only dropping a lease takes its state")
    }

    #[cold]
    fn end(&mut self) {
        let Some(state) = self.state.take() else {
            return;
        };
        if self.taken_at.permit() == Permit::Acquired {
            state.limit.release();
        }
        if !state.standing().is_indexed() {
            return;
        }
        // The entry keeps the load index and with it the state. After the reference is gone the state is asked again
        // for its position, because an update may have published another index meanwhile.
        let entry = state.index_entry();
        drop(state);
        // SeqCst: pairs with the fence in `LoadIndex::record`. Either the updater counts without this reference, or the
        // position read below is the one that the updater stored before it counted. No model fails without it.
        fence(SeqCst);
        if let Some(entry) = entry {
            entry.state().update_index(Some(entry.index()));
        }
    }
}

impl Drop for Pick {
    #[inline]
    fn drop(&mut self) {
        let is_indexed = |state: &Arc<BackendState>| state.standing().is_indexed();
        if self.taken_at.permit() == Permit::Acquired || self.state.as_ref().is_some_and(is_indexed)
        {
            self.end();
        }
    }
}

/// What a reported failure did to the backend.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum FailureEffect {
    /// It stays eligible.
    Counted,
    /// It gets no new connections for its `fail_timeout`, or for as long as outlier detection says.
    Ejected,
}

crate::names::names!(FailureEffect {
    Counted = "counted",
    Ejected = "ejected",
});

impl FailureEffect {
    const fn of(ejects: bool) -> Self {
        if ejects { Self::Ejected } else { Self::Counted }
    }
}

/// Whether a lease counts towards `max_conns`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Permit {
    Acquired,
    NotNeeded,
}

/// When a lease was taken, to 4 ns. The two low bits say whether it has a permit.
#[derive(Clone, Copy, Debug)]
struct TakenAt(NonZeroU64);

impl TakenAt {
    const ALWAYS: u64 = 0b10;
    const PERMITTED: u64 = 0b01;

    #[inline]
    const fn new(now: Timestamp, permit: Permit) -> Self {
        let permitted = match permit {
            Permit::Acquired => Self::PERMITTED,
            Permit::NotNeeded => 0,
        };
        let word = now.as_nanos() & !0b11 | Self::ALWAYS | permitted;
        Self(NonZeroU64::new(word).expect("one bit is always set"))
    }

    #[inline]
    const fn permit(self) -> Permit {
        if self.0.get() & Self::PERMITTED == 0 {
            Permit::NotNeeded
        } else {
            Permit::Acquired
        }
    }

    const fn timestamp(self) -> Timestamp {
        Timestamp::from_nanos(self.0.get() & !0b11)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_two_words() {
        assert_eq!(size_of::<Pick>(), 16);
        assert_eq!(size_of::<Option<Pick>>(), 16);
    }
}
