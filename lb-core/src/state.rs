//! What is remembered of a backend while it is known, whatever else changes about it.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use crate::backend::Backend;
use crate::board::{Noted, Place};
use crate::connect_average::ConnectAverage;
use crate::damping::Damping;
use crate::detection::OutlierRecord;
use crate::ewma::PeakEwma;
use crate::health::Health;
use crate::outlier::{FailLimit, FailureRecord};
use crate::seats::Seats;
use crate::shared::Home;
use crate::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use crate::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, fence};
use crate::sync::{Arc, ArcSwapAny, Guard, Weak};
use crate::time::Timestamp;

/// The state of one backend, shared by every set that it is part of and by its leases.
///
/// What a pick reads comes first, next to the reference counts, which are the connections in flight: see [`Held`].
///
/// Relaxed accesses suffice: each field is one word that agrees with itself, and no other memory is read on the
/// strength of one.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct BackendState {
    pub(crate) failures: FailureRecord,
    pub(crate) damping: Damping,
    pub(crate) outliers: OutlierRecord,
    unhealthy: AtomicBool,
    /// Whether `place` is set.
    placed: AtomicBool,
    addr: SocketAddr,
    pub(crate) connect_average: ConnectAverage,
    /// In nanoseconds; nginx's default where the backend has no limit.
    fail_timeout: AtomicU64,
    /// 0 where failures never eject it.
    max_fails: AtomicU32,
    /// The connections that count towards `max_conns`.
    pub(crate) seats: Seats,
    /// When it last joined or recovered, in nanoseconds; 0 if it was there from the start.
    warm_since: AtomicU64,
    pub(crate) connect_time: PeakEwma,
    /// Turns taken among the backends of one name, counted at the first of them.
    pub(crate) turns: AtomicU64,
    /// nginx's `current_weight`, for ties.
    pub(crate) credit: AtomicI64,
    joined_at: Timestamp,
    described: ArcSwapAny<Arc<Backend>>,
    place: ArcSwapAny<Option<Arc<Place>>>,
    home: Home,
}

impl BackendState {
    /// A backend that became known at `joined_at`, `late` if others had been known before. Failures eject it once
    /// [`describe`](Self::describe) has said which.
    pub(crate) fn new(backend: Arc<Backend>, joined_at: Timestamp, late: bool, home: Home) -> Self {
        Self {
            failures: FailureRecord::new(),
            damping: Damping::new(),
            unhealthy: AtomicBool::new(false),
            placed: AtomicBool::new(false),
            outliers: OutlierRecord::new(),
            connect_average: ConnectAverage::new(joined_at),
            addr: backend.addr,
            seats: Seats::new(),
            warm_since: AtomicU64::new(if late { since(joined_at) } else { 0 }),
            connect_time: PeakEwma::new(),
            turns: AtomicU64::new(0),
            credit: AtomicI64::new(0),
            joined_at,
            described: ArcSwapAny::new(backend),
            max_fails: AtomicU32::new(0),
            fail_timeout: AtomicU64::new(0),
            place: ArcSwapAny::new(None),
            home,
        }
    }

    pub(crate) const fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub(crate) const fn joined_at(&self) -> Timestamp {
        self.joined_at
    }

    /// What the latest snapshot says of it.
    pub(crate) fn described(&self) -> Guard<Arc<Backend>> {
        self.described.load()
    }

    /// Takes note of what a snapshot says. `fail_limit` is the backend's own, or none where ejecting it would leave
    /// nothing to pick.
    pub(crate) fn describe(&self, backend: Arc<Backend>, fail_limit: Option<FailLimit>) {
        if backend.max_conns.is_some() && self.described().max_conns.is_none() {
            self.seats.let_stand();
        }
        let fail_timeout = backend
            .fail_limit
            .unwrap_or_default()
            .fail_timeout
            .as_nanos();
        let fail_timeout = u64::try_from(fail_timeout).unwrap_or(u64::MAX);
        self.fail_timeout.store(fail_timeout, Relaxed);
        let max_fails = fail_limit.map_or(0, |limit| limit.max_fails.get());
        self.max_fails.store(max_fails, Relaxed);
        self.described.store(backend);
    }

    /// Whether failures eject it.
    pub(crate) fn is_limited(&self) -> bool {
        self.max_fails.load(Relaxed) > 0
    }

    /// The failures that eject it.
    pub(crate) fn fail_limit(&self) -> Option<FailLimit> {
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

    /// The milliseconds that connecting is expected to take, as nginx's `least_time` reckons.
    pub(crate) fn expected_connect_millis(&self, now: Timestamp) -> u64 {
        let fail_timeout = self.fail_timeout.load(Relaxed);
        self.connect_average.expected_millis(fail_timeout, now)
    }

    /// Ends a rest from connections, as `least_time` reckons.
    pub(crate) fn end_rest(&self, now: Timestamp) {
        let fail_timeout = self.fail_timeout.load(Relaxed);
        self.connect_average.picked(fail_timeout, now);
    }

    /// Whether nothing speaks against it: no failure, no ejection, no failed check.
    #[inline]
    pub(crate) fn is_sound(&self) -> bool {
        self.failures.is_clean() && self.outliers.is_clean() && !self.unhealthy.load(Relaxed)
    }

    pub(crate) fn health(&self) -> Health {
        if self.unhealthy.load(Relaxed) {
            Health::Unhealthy
        } else {
            Health::Healthy
        }
    }

    /// True if it was different before, or if the check ended an ejection.
    pub(crate) fn set_health(&self, health: Health, now: Timestamp) -> bool {
        let unhealthy = health == Health::Unhealthy;
        let flipped = self.unhealthy.swap(unhealthy, Relaxed) != unhealthy;
        let readmitted = !unhealthy && self.outliers.readmit(now);
        if flipped && !unhealthy {
            self.warm_since.store(since(now), Relaxed);
        }
        if flipped || readmitted {
            self.note_change();
        }
        flipped
    }

    /// Since when it is warming up, if it joined late or has recovered. It may be warm by now.
    pub(crate) fn warm_since(&self, now: Timestamp) -> Option<Timestamp> {
        let since = self.warm_since.load(Relaxed);
        let since = (since > 0).then(|| Timestamp::from_nanos(since));
        let returned = if self.outliers.is_clean() {
            None
        } else {
            self.outliers.returned_at(now)
        };
        since.max(returned)
    }

    /// Counts an established connection.
    pub(crate) fn succeeded(&self, now: Timestamp) {
        self.outliers.succeeded();
        if !self.failures.is_clean() && self.failures.succeeded(self.is_limited()) {
            self.warm_since.store(since(now), Relaxed);
            self.note_change();
        }
    }

    /// Counts a connection that could not be established. True if that ejects the backend.
    pub(crate) fn failed(&self, now: Timestamp) -> bool {
        self.connect_average.failed(now);
        let by_limit = self.fail_limit().is_some_and(|limit| {
            let weight = self.described().weight.get();
            self.damping.failed(weight, limit.max_fails.get());
            self.failures.failed(limit, now)
        });
        let home = self.home.upgrade();
        let as_outlier = home.is_some_and(|shared| shared.detect(self, now));
        if by_limit || as_outlier {
            self.note_change();
        }
        by_limit || as_outlier
    }

    /// Notes the leases of the backend on a board from now on.
    pub(crate) fn place(&self, place: Place) {
        self.place.store(Some(Arc::new(place)));
        self.placed.store(true, Relaxed);
    }

    /// Notes its leases nowhere any more.
    pub(crate) fn leave_place(&self) {
        if self.placed.swap(false, Relaxed) {
            self.place.store(None);
        }
    }

    /// Whether its leases are noted anywhere.
    #[inline]
    pub(crate) fn is_placed(&self) -> bool {
        self.placed.load(Relaxed)
    }

    /// Where its leases are noted, if anywhere.
    pub(crate) fn noted_on(&self) -> Option<Noted> {
        if !self.is_placed() {
            return None;
        }
        let mut place = self.place.load();
        loop {
            let found = place.as_deref()?.board();
            if found.is_some() {
                return found;
            }
            // Gone with an old membership: then another may have taken its place.
            let present = self.place.load();
            if Arc::ptr_eq(place.as_ref()?, present.as_ref()?) {
                return None;
            }
            place = present;
        }
    }

    /// Notes a lease that has just begun or ended.
    #[cold]
    pub(crate) fn note_lease(&self) {
        self.noted_on().iter().for_each(Noted::refresh);
    }

    /// Tells the balancer that another number of backends is in good standing.
    pub(crate) fn note_change(&self) {
        if let Some(shared) = self.home.upgrade() {
            shared.note_change();
        }
    }
}

/// A moment that is not 0, which stands for none.
fn since(now: Timestamp) -> u64 {
    now.as_nanos().max(1)
}

/// A backend's state in the hands of whoever is not a connection.
///
/// A lease is a strong reference to the state and nothing else, so picking and releasing cost one atomic addition
/// each. Whoever holds the state without being a lease holds a weak reference beside the strong one; then the leases
/// are the strong references without the weak ones. The strong one is made first and dropped last, so for some nanoseconds
/// of an update the count may be one too high; whoever cannot have it too low reads it with that in mind.
#[derive(Debug)]
pub(crate) struct Held {
    // Dropped before the state.
    mark: Mark,
    state: Arc<BackendState>,
}

/// The weak reference of whoever holds a strong one and is not a connection. Goes before it.
#[derive(Debug)]
pub(crate) struct Mark(#[expect(dead_code, reason = "counted, not followed")] Weak<BackendState>);

impl Held {
    pub(crate) fn new(state: BackendState) -> Self {
        Self::hold(&Arc::new(state))
    }

    /// Holds `state` beside others who do.
    pub(crate) fn hold(state: &Arc<BackendState>) -> Self {
        let state = Arc::clone(state);
        // Whoever sees the mark sees the reference. One that is gone took its mark along: std releases both.
        fence(Release);
        Self {
            mark: Mark(Arc::downgrade(&state)),
            state,
        }
    }

    pub(crate) fn state(&self) -> &BackendState {
        &self.state
    }

    pub(crate) fn in_flight(&self) -> u32 {
        in_flight(&self.state)
    }

    /// The two references, for whoever stores them apart.
    pub(crate) fn into_parts(self) -> (Arc<BackendState>, Mark) {
        (self.state, self.mark)
    }
}

impl Clone for Held {
    fn clone(&self) -> Self {
        Self::hold(&self.state)
    }
}

/// The leases of a backend; for a moment of an update it may be one more or less.
#[inline]
pub(crate) fn in_flight(state: &Arc<BackendState>) -> u32 {
    let leases = Arc::strong_count(state).saturating_sub(Arc::weak_count(state));
    u32::try_from(leases).unwrap_or(u32::MAX)
}

/// The same, never less.
fn in_flight_at_most(state: &Arc<BackendState>) -> u32 {
    // Looked at on both sides, because the holders of a new set may come or those of an old one go in between; in this
    // order, which not every processor keeps without the fences.
    let marks = Arc::weak_count(state);
    fence(Acquire);
    let references = Arc::strong_count(state);
    fence(Acquire);
    let leases = references.saturating_sub(marks.min(Arc::weak_count(state)));
    u32::try_from(leases).unwrap_or(u32::MAX)
}

/// Whether `max` connections of it are taken.
#[inline]
pub(crate) fn is_full(state: &Arc<BackendState>, max: NonZeroU32) -> bool {
    state.seats.is_full(max, || in_flight_at_most(state))
}

/// A reference to it that counts as a lease and has one of `max` seats.
#[cold]
pub(crate) fn take_seat(state: &Arc<BackendState>, max: NonZeroU32) -> Option<Arc<BackendState>> {
    if !state.seats.take(max, || in_flight_at_most(state)) {
        return None;
    }
    let lease = Arc::clone(state);
    // Where some stand, two may have come at once for the last place, both not in flight yet: then both may be refused.
    if state.seats.may_stand() && in_flight_at_most(state) > max.get() {
        state.seats.give_back();
        return None;
    }
    Some(lease)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lease::Lease;

    #[test]
    fn leases_are_counted_and_holders_are_not() {
        let held = Held::new(BackendState::new(
            Arc::new(Backend::new(([127, 0, 0, 1], 446).into())),
            Timestamp::default(),
            false,
            Home::new(),
        ));
        let other = held.clone();
        assert_eq!((held.in_flight(), other.in_flight()), (0, 0));
        let leases = [&held, &other]
            .map(|held| Lease::take(&held.state, None, Timestamp::default()).unwrap());
        assert_eq!((held.in_flight(), other.in_flight()), (2, 2));
        drop(held);
        assert_eq!(other.in_flight(), 2);
        drop(leases);
        assert_eq!(other.in_flight(), 0);
    }
}
