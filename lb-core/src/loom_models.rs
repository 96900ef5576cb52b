//! Our own atomics under every interleaving and every stale value that the memory model allows.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p lb-core --release --lib loom` runs them; ARCHITECTURE.md says where. arc-swap
//! knows nothing of loom, so no model goes through a balancer.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use loom::model;
use loom::model::Builder;
use loom::thread::{JoinHandle, spawn};

use crate::backend::Backend;
use crate::ewma::PeakEwma;
use crate::outlier::{FailLimit, FailureRecord};
use crate::set::Slot;
use crate::state::BackendState;
use crate::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use crate::time::Timestamp;

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_nanos(seconds << 30)
}

fn limit(max_fails: u32) -> FailLimit {
    FailLimit::new(
        NonZeroU32::new(max_fails).unwrap(),
        Duration::from_nanos(10 << 30),
    )
}

/// Runs `f` on `shared` in a thread of the model.
fn run<S, T>(shared: &Arc<S>, f: impl FnOnce(&S) -> T + 'static) -> JoinHandle<T>
where
    S: 'static,
    T: 'static,
{
    let shared = Arc::clone(shared);
    spawn(move || f(&shared))
}

fn join<T>(threads: impl IntoIterator<Item = JoinHandle<T>>) -> Vec<T> {
    let joined = threads.into_iter().map(|thread| thread.join().unwrap());
    joined.collect()
}

#[test]
fn no_lease_is_lost() {
    model(|| {
        let state = Arc::new(BackendState::new(at(0)));
        let threads = [0, 1].map(|_| {
            run(&state, |state| {
                assert!(state.acquire(None));
                assert!(state.acquire(None));
                state.release();
            })
        });
        join(threads);
        assert_eq!(state.in_flight(), 2);
    });
}

/// Three threads want one of `max` connections: never more hold one, and nobody is refused who need not be.
///
/// Retries of three threads make too many interleavings: only those with at most two preemptions are explored.
fn compete(max: u32) {
    let mut bounded = Builder::new();
    bounded.preemption_bound = Some(2);
    bounded.check(move || {
        let shared = Arc::new((BackendState::new(at(0)), AtomicU32::new(0)));
        let compete = move |(state, held): &(BackendState, AtomicU32)| {
            let acquired = state.acquire(NonZeroU32::new(max));
            if acquired {
                assert!(held.fetch_add(1, Relaxed) < max, "more than max_conns");
                held.fetch_sub(1, Relaxed);
                state.release();
            }
            acquired
        };
        let mut threads = vec![run(&shared, compete), run(&shared, compete)];
        let mine = compete(&shared);
        let mut acquired = join(threads.drain(..));
        acquired.push(mine);
        let refused = acquired.iter().filter(|acquired| !**acquired).count();
        assert!(refused <= 3 - max as usize, "{refused} were refused");
        assert_eq!(shared.0.in_flight(), 0);
    });
}

#[test]
fn max_conns_is_never_exceeded() {
    compete(1);
    compete(2);
}

#[test]
fn one_trial_is_let_through() {
    model(|| {
        let record = Arc::new(FailureRecord::new());
        record.failed(limit(1), at(100));
        let claim = |record: &FailureRecord| record.claim(limit(1), at(111));
        let threads = [run(&record, claim), run(&record, claim)];
        let mine = claim(&record);
        let others = join(threads);
        let trials = others.iter().filter(|claimed| **claimed).count();
        assert_eq!(trials + usize::from(mine), 1);
    });
}

#[test]
fn one_trial_takes_one_lease() {
    model(|| {
        let backend = Backend::new(([127, 0, 0, 1], 446).into());
        let slot = Arc::new(Slot {
            backend: backend.with_max_conns(NonZeroU32::new(2)),
            state: Arc::new(BackendState::new(at(0))),
            fail_limit: Some(limit(1)),
        });
        slot.state.failures.failed(limit(1), at(100));
        let acquire = |slot: &Slot| slot.acquire(at(111));
        let threads = [run(&slot, acquire), run(&slot, acquire)];
        let leases = join(threads).into_iter().filter(|taken| *taken).count();
        assert_eq!(leases, 1);
        assert_eq!(slot.state.in_flight(), 1);
    });
}

#[test]
fn no_failure_is_lost_and_one_of_them_ejects() {
    model(|| {
        let record = Arc::new(FailureRecord::new());
        let threads = [100, 101].map(|now| run(&record, move |r| r.failed(limit(2), at(now))));
        let ejecting = join(threads).into_iter().filter(|ejects| *ejects).count();
        assert_eq!((record.fails(), ejecting), (2, 1));
        assert_eq!(record.ejected_until(limit(2), at(102)), Some(at(111)));
    });
}

#[test]
fn a_success_that_was_no_trial_forgives_nothing() {
    model(|| {
        let record = Arc::new(FailureRecord::new());
        let threads = [100, 101].map(|now| run(&record, move |r| r.failed(limit(3), at(now))));
        record.succeeded();
        join(threads);
        record.succeeded();
        assert_eq!(record.fails(), 2);
    });
}

#[test]
fn a_trial_that_succeeds_does_not_forgive_a_failure_of_the_same_moment() {
    model(|| {
        let record = Arc::new(FailureRecord::new());
        record.failed(limit(1), at(100));
        assert!(record.claim(limit(1), at(111)));
        let failure = run(&record, |record| record.failed(limit(1), at(112)));
        record.succeeded();
        assert!(failure.join().unwrap());
        assert_eq!(record.ejected_until(limit(1), at(113)), Some(at(122)));
        record.succeeded();
        assert!(record.fails() > 0, "forgiven later");
    });
}

#[test]
fn whoever_sees_a_failure_sees_its_window() {
    model(|| {
        let record = Arc::new(FailureRecord::new());
        let failure = run(&record, |record| record.failed(limit(1), at(100)));
        if record.fails() > 0 {
            assert_eq!(record.ejected_until(limit(1), at(105)), Some(at(110)));
            assert!(!record.claim(limit(1), at(105)));
        }
        failure.join().unwrap();
    });
}

#[test]
fn a_claim_does_not_shorten_the_window_of_a_failure() {
    model(|| {
        let record = Arc::new(FailureRecord::new());
        record.failed(limit(1), at(100));
        let failure = run(&record, |record| record.failed(limit(1), at(112)));
        record.claim(limit(1), at(111));
        failure.join().unwrap();
        assert_eq!(record.ejected_until(limit(1), at(113)), Some(at(122)));
        assert!(!record.claim(limit(1), at(122)));
    });
}

#[test]
fn a_peak_is_not_lost() {
    model(|| {
        let ewma = Arc::new(PeakEwma::new());
        let peak = Duration::from_millis(100);
        let threads = [peak, peak / 10].map(|sample| run(&ewma, move |e| e.add(sample, at(1))));
        join(threads);
        let average = ewma.get_at(at(1)).unwrap();
        assert!(average.abs_diff(peak) < peak / 1000, "{average:?}");
    });
}

#[test]
fn no_turn_is_given_twice() {
    model(|| {
        let cursor = Arc::new(AtomicU64::new(u64::MAX));
        let threads = [0, 1].map(|_| run(&cursor, |cursor| cursor.fetch_add(1, Relaxed)));
        let mut turns = join(threads);
        turns.sort_unstable();
        assert_eq!(turns, [0, u64::MAX]);
    });
}
