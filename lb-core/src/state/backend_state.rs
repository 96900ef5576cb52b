//! What is remembered of a backend while it is known, whatever else changes about it.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use crate::backend::Backend;
use crate::lease::connection_limit::Seats;
use crate::load_index::board::{Noted, Place, SharedBoard};
use crate::membership::shared::Home;
use crate::state::connect_average::ConnectAverage;
use crate::state::damping::Damping;
use crate::state::fail_limit::{FailLimit, FailureRecord};
use crate::state::health::Health;
use crate::state::outlier::{OutlierDetection, OutlierRecord};
use crate::state::peak_ewma::PeakEwma;
use crate::state::standing::Glance;
use crate::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering::Relaxed};
use crate::sync::{Arc, ArcSwapAny, Guard};
use crate::tiers::identity::{of_addr, of_name};
use crate::time::Timestamp;

/// The state of one backend, shared by every set that it is part of and by its leases.
///
/// What a pick reads comes first, next to the reference counts, which are the connections in flight: see
/// [`Held`](crate::lease::reference::Held).
///
/// Relaxed accesses suffice: each field is one word that agrees with itself. Only the [`Glance`] is about others, and
/// `generation` of [`Shared`](crate::membership::shared::Shared) publishes news.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct BackendState {
    glance: Glance,
    addr: SocketAddr,
    pub(crate) damping: Damping,
    pub(crate) failures: FailureRecord,
    pub(crate) outliers: OutlierRecord,
    unhealthy: AtomicBool,
    spared: AtomicBool,
    pub(crate) connect_average: ConnectAverage,
    /// The number of its name and port; 0 without a name.
    name_id: AtomicU64,
    /// In nanoseconds; nginx's default where the backend has no limit.
    fail_timeout: AtomicU64,
    /// 0 without a limit.
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
            glance: Glance::new(),
            damping: Damping::new(),
            failures: FailureRecord::new(),
            unhealthy: AtomicBool::new(false),
            spared: AtomicBool::new(false),
            outliers: OutlierRecord::new(),
            connect_average: ConnectAverage::new(joined_at),
            addr: backend.addr,
            name_id: AtomicU64::new(0),
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

    /// What tells it from others whatever its address, if it has a name: see [`of_name`].
    pub(crate) fn name_id(&self) -> Option<u64> {
        Some(self.name_id.load(Relaxed)).filter(|&id| id != 0)
    }

    pub(crate) const fn joined_at(&self) -> Timestamp {
        self.joined_at
    }

    /// What the latest snapshot says of it.
    pub(crate) fn described(&self) -> Guard<Arc<Backend>> {
        self.described.load()
    }

    /// Takes note of what a snapshot says.
    pub(crate) fn describe(&self, backend: Arc<Backend>) {
        if backend.max_conns.is_some() && self.described().max_conns.is_none() {
            self.seats.let_stand();
        }
        let limit = backend.fail_limit;
        let fail_timeout = limit.unwrap_or_default().fail_timeout.as_nanos();
        let fail_timeout = u64::try_from(fail_timeout).unwrap_or(u64::MAX);
        self.fail_timeout.store(fail_timeout, Relaxed);
        let max_fails = limit.map_or(0, |limit| limit.max_fails.get());
        self.max_fails.store(max_fails, Relaxed);
        let name_id = of_name(&backend).unwrap_or(0);
        self.name_id.store(name_id, Relaxed);
        self.described.store(backend);
    }

    /// Whether its limit does not count, because ejecting it would leave nothing to pick.
    pub(crate) fn spare(&self, spared: bool) {
        if self.spared.load(Relaxed) != spared {
            self.spared.store(spared, Relaxed);
        }
    }

    /// The failures that eject it.
    pub(crate) fn fail_limit(&self) -> Option<FailLimit> {
        if self.spared.load(Relaxed) {
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

    /// What a pick looks at first. Nothing is doubtful about a backend without failure, ejection and failed check.
    #[inline]
    pub(crate) const fn glance(&self) -> &Glance {
        &self.glance
    }

    /// Takes back the doubts about it, if there is no reason left.
    fn settle(&self) {
        self.glance.settle(|| {
            self.failures.is_clean() && self.outliers.is_clean() && !self.unhealthy.load(Relaxed)
        });
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
        if unhealthy {
            self.glance.doubt();
        } else {
            if flipped {
                self.warm_since.store(since(now), Relaxed);
            }
            self.settle();
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
        since.max(self.outliers.returned_at(now))
    }

    /// Counts an established connection.
    pub(crate) fn succeeded(&self, now: Timestamp) {
        if self.outliers.succeeded(now) {
            self.settle();
        }
        if !self.failures.is_clean() && self.failures.succeeded(self.fail_limit().is_some()) {
            self.warm_since.store(since(now), Relaxed);
            self.settle();
            self.note_change();
        }
    }

    /// Counts a connection that could not be established. True if that ejects the backend.
    pub(crate) fn failed(&self, now: Timestamp) -> bool {
        self.connect_average.failed(now);
        let by_limit = self.fail_limit().is_some_and(|limit| {
            let weight = self.described().weight.get();
            self.damping.failed(weight, limit.max_fails.get());
            let ejects = self.failures.failed(limit, now);
            self.glance.doubt();
            ejects
        });
        let home = self.home.upgrade();
        let as_outlier = home.is_some_and(|shared| shared.detect(self, now));
        if by_limit || as_outlier {
            self.note_change();
        }
        by_limit || as_outlier
    }

    /// Ejects it as an outlier. False if it is ejected already.
    pub(crate) fn eject(&self, detection: &OutlierDetection, now: Timestamp) -> bool {
        let ejected = self.outliers.eject(detection, of_addr(self.addr), now);
        self.glance.doubt();
        ejected
    }

    /// Notes the leases of the backend on a board from now on.
    pub(crate) fn place(&self, place: Place) {
        self.place.store(Some(Arc::new(place)));
        self.glance.set_placed(true);
    }

    /// Notes its leases nowhere any more, unless its place is on one of `boards`.
    pub(crate) fn stay_on<'a>(&self, mut boards: impl Iterator<Item = &'a SharedBoard>) {
        if !self.glance.is_placed() {
            return;
        }
        let place = self.place.load();
        let stays = |place: &Place| boards.any(|board| place.is_on(board));
        if !place.as_deref().is_some_and(stays) {
            self.glance.set_placed(false);
            self.place.store(None);
        }
    }

    /// Where its leases are noted, if anywhere.
    pub(crate) fn noted_on(&self) -> Option<Noted> {
        if !self.glance.is_placed() {
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

    /// Notes a lease that has just begun or ended: on `board`, or where its place is if that is another.
    pub(crate) fn note_lease(&self, board: Option<&SharedBoard>) {
        let place = self.place.load();
        match (place.as_deref(), board) {
            // No reference is taken of a board that is held already: all threads would write to its count.
            (Some(place), Some(board)) if place.is_on(board) => place.refresh(board),
            _ => self.noted_on().iter().for_each(Noted::refresh),
        }
    }

    /// All that an update must not change, as text.
    #[cfg(feature = "test-util")]
    pub(crate) fn memory(&self) -> String {
        format!(
            "{:?}",
            (
                (
                    &self.failures,
                    &self.damping,
                    &self.outliers,
                    &self.unhealthy
                ),
                (&self.connect_average, &self.connect_time),
                (&self.warm_since, &self.turns, &self.credit, self.joined_at),
            )
        )
    }

    /// Tells the balancer that another number of backends is in good standing.
    pub(crate) fn note_change(&self) {
        if let Some(shared) = self.home.upgrade() {
            shared.note_change();
        }
    }
}

#[cfg(test)]
impl BackendState {
    pub(crate) fn example() -> Self {
        let backend = Arc::new(Backend::new(([127, 0, 0, 1], 446).into()));
        let now = Timestamp::default();
        let state = Self::new(Arc::clone(&backend), now, false, Home::new());
        state.describe(backend);
        state
    }
}

/// A moment that is not 0, which stands for none.
fn since(now: Timestamp) -> u64 {
    now.as_nanos().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_forgiven_is_not_doubtful() {
        let state = BackendState::example();
        let later = Timestamp::from_nanos(60_000_000_000);
        assert!(!state.glance().is_doubtful());
        assert!(state.failed(Timestamp::default()));
        assert!(state.glance().is_doubtful());
        state.set_health(Health::Unhealthy, later);
        let limit = state.fail_limit().unwrap();
        assert!(state.failures.claim(limit, later));
        state.succeeded(later);
        assert!(state.glance().is_doubtful(), "a check has failed");
        state.set_health(Health::Healthy, later);
        assert!(!state.glance().is_doubtful());
    }
}
