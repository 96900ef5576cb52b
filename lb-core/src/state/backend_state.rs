//! The state of one backend.

use std::any::Any;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::{Arc as StdArc, OnceLock, Weak};
use std::time::Duration;

use super::damping::Damping;
use super::expectation::Expectation;
use super::failure_record::FailureRecord;
use super::health_word::HealthWord;
use super::index_position::IndexPosition;
use super::outlier::OutlierRecord;
use super::owner::Owner;
use super::peak_ewma::PeakEwma;
use super::response_times::ResponseTimes;
use super::standing::Standing;
use crate::backend::{Backend, Health};
use crate::fail_limit::FailLimit;
use crate::hash;
use crate::lease::connection_limit::ConnectionLimit;
use crate::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering::Relaxed};
use crate::sync::{Arc, ArcSwapAny, Guard};
use crate::time::Timestamp;

/// The state of one backend, shared by every set that it is part of and by its leases.
///
/// What a pick reads comes first, next to the reference counts, which are the connections in flight: see
/// [`lease`](crate::lease).
///
/// Relaxed accesses suffice: each field is one word that agrees with itself. Only [`Standing`] is about other words, and
/// [`Owner::standing_changed`] publishes changes.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct BackendState {
    pub(super) standing: Standing,
    addr: SocketAddr,
    /// 0 without a limit.
    max_fails: AtomicU32,
    pub(crate) damping: Damping,
    pub(crate) failures: FailureRecord,
    pub(crate) outliers: OutlierRecord,
    pub(super) health: HealthWord,
    /// Whether it is the only backend that can be picked, so that its fail limit does not apply.
    is_sole: AtomicBool,
    /// The permits of its leases, where it has `max_conns`.
    pub(crate) limit: ConnectionLimit,
    /// Kept once a policy has asked for it.
    pub(super) response_times: OnceLock<Arc<ResponseTimes>>,
    /// The hash of its name and port; 0 without a name.
    name_hash: AtomicU64,
    /// In nanoseconds; nginx's default where the backend has no limit.
    fail_timeout: AtomicU64,
    /// When it last joined or recovered, in nanoseconds; 0 if it was in the first snapshot.
    pub(super) warm_since: AtomicU64,
    pub(crate) connect_time: PeakEwma,
    /// Turns taken among the backends of one name, counted at the first of them.
    pub(crate) turns: AtomicU64,
    /// nginx's `current_weight`, for ties.
    pub(crate) credit: AtomicI64,
    joined_at: Timestamp,
    description: ArcSwapAny<Arc<Backend>>,
    pub(super) position: ArcSwapAny<Option<Arc<IndexPosition>>>,
    pub(super) owner: Weak<dyn Owner>,
    /// What the embedder keeps of it.
    data: OnceLock<EmbedderData>,
}

/// Of std also where loom has a stand-in: it is no part of the protocol of leases.
type EmbedderData = StdArc<dyn Any + Send + Sync>;

impl BackendState {
    /// A backend that became known at `joined_at`, `late` if others had been known before. It has no fail limit until
    /// [`set_description`](Self::set_description).
    pub(crate) fn new(
        backend: Arc<Backend>,
        joined_at: Timestamp,
        late: bool,
        owner: Weak<dyn Owner>,
    ) -> Self {
        Self {
            standing: Standing::new(),
            addr: backend.addr,
            max_fails: AtomicU32::new(0),
            damping: Damping::new(),
            failures: FailureRecord::new(),
            outliers: OutlierRecord::new(),
            health: HealthWord::new(),
            is_sole: AtomicBool::new(false),
            limit: ConnectionLimit::new(),
            response_times: OnceLock::new(),
            name_hash: AtomicU64::new(0),
            fail_timeout: AtomicU64::new(0),
            warm_since: AtomicU64::new(if late { nonzero(joined_at) } else { 0 }),
            connect_time: PeakEwma::new(),
            turns: AtomicU64::new(0),
            credit: AtomicI64::new(0),
            joined_at,
            description: ArcSwapAny::new(backend),
            position: ArcSwapAny::new(None),
            owner,
            data: OnceLock::new(),
        }
    }

    // === Description ===

    pub(crate) const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The [hash](hash::of_name) of its name and port, if it has a name.
    pub(crate) fn name_hash(&self) -> Option<u64> {
        Some(self.name_hash.load(Relaxed)).filter(|&hash| hash != 0)
    }

    pub(crate) const fn joined_at(&self) -> Timestamp {
        self.joined_at
    }

    /// The backend as the latest snapshot describes it.
    pub(crate) fn description(&self) -> Guard<Arc<Backend>> {
        self.description.load()
    }

    /// Stores the description of a new snapshot, and the settings that follow from it.
    pub(crate) fn set_description(&self, backend: Arc<Backend>) {
        if backend.max_conns.is_some() && self.description().max_conns.is_none() {
            self.limit.note_unpermitted();
        }
        let limit = backend.fail_limit;
        let fail_timeout = limit.unwrap_or_default().fail_timeout.as_nanos();
        let fail_timeout = u64::try_from(fail_timeout).unwrap_or(u64::MAX);
        self.fail_timeout.store(fail_timeout, Relaxed);
        let max_fails = limit.map_or(0, |limit| limit.max_fails.get());
        self.max_fails.store(max_fails, Relaxed);
        let name = backend.name.as_deref();
        let name_hash = name.map_or(0, |name| hash::of_name(name, backend.addr.port()));
        self.name_hash.store(name_hash, Relaxed);
        self.description.store(backend);
    }

    /// The embedder's data; the first call creates it.
    pub(crate) fn data(&self, create: impl FnOnce() -> EmbedderData) -> &EmbedderData {
        self.data.get_or_init(create)
    }

    // === Ejection and health ===

    /// Says whether it is the only backend that can be picked: then its fail limit does not apply, because ejecting it
    /// would leave nothing to pick.
    pub(crate) fn set_sole(&self, is_sole: bool) {
        if self.is_sole.load(Relaxed) != is_sole {
            self.is_sole.store(is_sole, Relaxed);
        }
    }

    /// The fail limit that applies to it.
    pub(crate) fn fail_limit(&self) -> Option<FailLimit> {
        if self.is_sole.load(Relaxed) {
            return None;
        }
        let max_fails = NonZeroU32::new(self.max_fails.load(Relaxed))?;
        let fail_timeout = Duration::from_nanos(self.fail_timeout.load(Relaxed));
        Some(FailLimit::new(max_fails, fail_timeout))
    }

    /// When its ejection ends, if it is ejected at `now`.
    pub(crate) fn ejected_until(&self, now: Timestamp) -> Option<Timestamp> {
        let by_limit = |limit| self.failures.ejected_until(limit, now);
        let by_limit = self.fail_limit().and_then(by_limit);
        by_limit.max(self.outliers.ejected_until(now))
    }

    /// What a pick reads first. A backend without a failure, an ejection and a failed check is not suspect.
    #[inline]
    pub(crate) const fn standing(&self) -> &Standing {
        &self.standing
    }

    pub(crate) fn health(&self) -> Health {
        self.health.get()
    }

    // === Time ===

    /// Since when it has been warming up, if it joined late or has recovered. It may be warm by now.
    pub(crate) fn warm_since(&self, now: Timestamp) -> Option<Timestamp> {
        let since = self.warm_since.load(Relaxed);
        let since = (since > 0).then(|| Timestamp::from_nanos(since));
        since.max(self.outliers.returned_at(now))
    }

    /// Keeps response times from now on, if it does not yet, as a policy with `expectation` needs them.
    pub(crate) fn keep_response_times(&self, expectation: Expectation) -> &Arc<ResponseTimes> {
        let new = || Arc::new(ResponseTimes::new(expectation));
        let times = self.response_times.get_or_init(new);
        times.set_expectation(expectation);
        times
    }

    /// Its response times, if a policy has asked for them.
    pub(crate) fn response_times(&self) -> Option<&Arc<ResponseTimes>> {
        self.response_times.get()
    }

    /// nginx's `fail_timeout`, in nanoseconds.
    pub(crate) fn fail_timeout(&self) -> u64 {
        self.fail_timeout.load(Relaxed)
    }

    /// All that an update must not change, as text.
    #[cfg(feature = "test-util")]
    pub(crate) fn remembered(&self) -> String {
        format!(
            "{:?}",
            (
                (&self.failures, &self.damping, &self.outliers, &self.health),
                (self.remembered_times(), &self.connect_time),
                (&self.warm_since, &self.turns, &self.credit, self.joined_at),
            )
        )
    }
}

#[cfg(feature = "test-util")]
impl BackendState {
    /// The response times as text; those that are not kept yet are as good as new ones.
    fn remembered_times(&self) -> String {
        let none = Expectation {
            measure: super::expectation::Measure::Connect,
            in_flight: false,
        };
        self.response_times.get().map_or_else(
            || ResponseTimes::new(none).remembered(),
            |times| times.remembered(),
        )
    }
}

/// A moment that is not 0, which stands for none.
pub(super) fn nonzero(now: Timestamp) -> u64 {
    now.as_nanos().max(1)
}

#[cfg(all(test, not(loom), target_pointer_width = "64"))]
mod tests {
    use super::*;

    /// Ten thousand backends have ten thousand of it.
    #[test]
    fn a_state_is_three_cache_lines_and_the_embedders_data() {
        assert_eq!(size_of::<BackendState>(), 192 + 24);
    }
}
