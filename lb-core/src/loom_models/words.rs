//! Structures with a state of one or two words.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use loom::model;

use super::{explore, join, run};
use crate::fail_limit::FailLimit;
use crate::lease::connection_limit::ConnectionLimit;
use crate::state::attempt_failure::AttemptFailure::{Answered, Unanswered};
use crate::state::damping::Damping;
use crate::state::failure_record::FailureRecord;
use crate::state::outlier::{OutlierDetection, OutlierRecord};
use crate::state::peak_ewma::PeakEwma;
use crate::state::standing::Standing;
use crate::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use crate::tiers::generation::Generation;
use crate::tiers::health::Validity;
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

/// `max` + 1 threads compete for `max` connections: never more than `max` have one, and at most one is refused.
fn compete(max: u32, preemptions: usize) {
    explore(Some(preemptions), move || {
        // Beside the limit: the reference count, which says how many are in flight, and how many really are.
        let shared = Arc::new((ConnectionLimit::new(), AtomicU32::new(0), AtomicU32::new(0)));
        let compete =
            move |(permits, references, held): &(ConnectionLimit, AtomicU32, AtomicU32)| {
                let limit = NonZeroU32::new(max).unwrap();
                if !permits.acquire(limit, || references.load(Relaxed)) {
                    return false;
                }
                references.fetch_add(1, Relaxed);
                assert!(held.fetch_add(1, Relaxed) < max, "more than max_conns");
                held.fetch_sub(1, Relaxed);
                permits.release();
                references.fetch_sub(1, Relaxed);
                true
            };
        let threads: Vec<_> = (0..max).map(|_| run(&shared, compete)).collect();
        let mine = compete(&shared);
        let permitted = join(threads).into_iter().chain([mine]);
        assert!(permitted.filter(|permitted| !permitted).count() <= 1);
        assert!(shared.0.acquire(NonZeroU32::MIN, || 0), "a permit was lost");
    });
}

#[test]
fn max_conns_is_never_exceeded() {
    compete(1, 3);
    compete(2, 1);
}

#[test]
fn one_trial_is_let_through() {
    model(|| {
        let record = Arc::new(FailureRecord::new());
        record.failed(limit(1), Answered, at(100));
        let claim = |record: &FailureRecord| record.claim(limit(1), at(111));
        let threads = [run(&record, claim), run(&record, claim)];
        let mine = claim(&record);
        let others = join(threads);
        let trials = others.iter().filter(|claimed| **claimed).count();
        assert_eq!(trials + usize::from(mine), 1);
    });
}

#[test]
fn no_failure_is_lost_and_one_of_them_ejects() {
    model(|| {
        let record = Arc::new(FailureRecord::new());
        let threads =
            [100, 101].map(|now| run(&record, move |r| r.failed(limit(2), Answered, at(now))));
        let ejecting = join(threads).into_iter().filter(|ejects| *ejects).count();
        assert_eq!((record.fails(), ejecting), (2, 1));
        assert_eq!(record.ejected_until(limit(2), at(102)), Some(at(111)));
    });
}

#[test]
fn a_success_that_was_no_trial_forgives_nothing() {
    model(|| {
        let record = Arc::new(FailureRecord::new());
        let threads =
            [100, 101].map(|now| run(&record, move |r| r.failed(limit(3), Answered, at(now))));
        record.succeeded(true);
        join(threads);
        record.succeeded(true);
        assert_eq!(record.fails(), 2);
    });
}

#[test]
fn a_trial_that_succeeds_does_not_forgive_a_failure_of_the_same_moment() {
    model(|| {
        let record = Arc::new(FailureRecord::new());
        record.failed(limit(1), Answered, at(100));
        assert!(record.claim(limit(1), at(111)));
        let failure = run(&record, |record| record.failed(limit(1), Answered, at(112)));
        record.succeeded(true);
        assert!(failure.join().unwrap());
        assert_eq!(record.ejected_until(limit(1), at(113)), Some(at(122)));
        record.succeeded(true);
        assert!(record.fails() > 0, "forgiven later");
    });
}

#[test]
fn a_thread_that_reads_a_failure_reads_its_window() {
    model(|| {
        let record = Arc::new(FailureRecord::new());
        let failure = run(&record, |record| record.failed(limit(1), Answered, at(100)));
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
        record.failed(limit(1), Answered, at(100));
        let failure = run(&record, |record| record.failed(limit(1), Answered, at(112)));
        record.claim(limit(1), at(111));
        failure.join().unwrap();
        assert_eq!(record.ejected_until(limit(1), at(113)), Some(at(122)));
        assert!(!record.claim(limit(1), at(122)));
    });
}

#[test]
fn forgiveness_never_erases_a_failure_that_was_answered() {
    model(|| {
        let record = Arc::new(FailureRecord::new());
        record.failed(limit(1), Unanswered, at(100));
        let failure = run(&record, |record| record.failed(limit(1), Answered, at(101)));
        let forgiven = record.forgive(at(0));
        failure.join().unwrap();
        assert_eq!(record.fails(), if forgiven { 1 } else { 2 });
        assert_eq!(record.ejected_until(limit(1), at(102)), Some(at(111)));
        assert!(!record.forgive(at(0)));
    });
}

#[test]
fn two_threads_that_forgive_count_an_ejection_once() {
    model(|| {
        let record = Arc::new(FailureRecord::new());
        record.failed(limit(1), Unanswered, at(100));
        let other = run(&record, |record| record.forgive(at(0)));
        let mine = record.forgive(at(0));
        assert!(mine ^ other.join().unwrap());
        assert!(record.is_clean());
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
fn two_failures_at_once_eject_an_outlier_once() {
    model(|| {
        let record = Arc::new(OutlierRecord::new());
        let detection = OutlierDetection::default().consecutive_failures(2);
        record.failed(&detection, Answered);
        let fail = move |record: &OutlierRecord| {
            record.failed(&detection, Answered) && record.eject(&detection, 0, at(100))
        };
        let threads = [run(&record, fail), run(&record, fail)];
        let ejections = join(threads).into_iter().filter(|ejected| *ejected).count();
        assert_eq!(ejections, 1);
        let until = record.ejected_until(at(100)).unwrap();
        let lasts = until.saturating_since(at(100));
        assert!(
            lasts < detection.base_ejection * 2,
            "counted twice: {lasts:?}"
        );
    });
}

#[test]
fn a_check_and_an_ejection_at_once_leave_one_of_them() {
    model(|| {
        let record = Arc::new(OutlierRecord::new());
        let detection = OutlierDetection::default();
        let check = run(&record, |record| record.readmit(at(101)));
        assert!(record.eject(&detection, 0, at(100)));
        let readmitted = check.join().unwrap();
        assert_eq!(record.ejected_until(at(102)).is_none(), readmitted);
        assert!(!record.is_clean(), "the ejection is forgotten");
    });
}

#[test]
fn failures_at_once_all_take_their_part() {
    model(|| {
        let damping = Arc::new(Damping::new());
        let fail = |damping: &Damping| damping.failed(12, 4);
        let threads = [run(&damping, fail), run(&damping, fail)];
        // A turn in between sees nothing, one part or both.
        let seen = damping.effective(12, 7);
        assert!([12, 9, 6].contains(&seen), "{seen}");
        join(threads);
        assert_eq!(damping.preview(&mut None, 12, 7), 6);
    });
}

#[test]
fn turns_at_once_give_back_no_more_than_there_were() {
    model(|| {
        let damping = Arc::new(Damping::new());
        damping.failed(12, 1);
        damping.effective(12, 5);
        let threads = [6, 7].map(|turn| run(&damping, move |d| d.effective(12, turn)));
        let seen = join(threads);
        assert!(seen.iter().all(|&weight| weight <= 2), "{seen:?}");
        // By turn 8 three turns have passed.
        assert_eq!(damping.effective(12, 8), 3);
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

#[test]
fn a_suspicion_that_comes_while_another_is_cleared_stays() {
    model(|| {
        // The reasons: a failure that is forgiven, and a check that fails meanwhile.
        let shared = Arc::new((Standing::new(), AtomicU32::new(1), AtomicU32::new(0)));
        shared.0.suspect();
        let forgiven = run(&shared, |(standing, failures, failed_checks)| {
            failures.store(0, Relaxed);
            standing.clear_if(|| failures.load(Relaxed) == 0 && failed_checks.load(Relaxed) == 0);
        });
        let (standing, _, failed_checks) = &*shared;
        failed_checks.store(1, Relaxed);
        standing.suspect();
        assert!(standing.is_suspect());
        forgiven.join().unwrap();
        assert!(standing.is_suspect());
    });
}

#[test]
fn a_thread_that_reads_a_generation_reads_the_change_behind_it() {
    model(|| {
        let shared = Arc::new((Generation::new(), AtomicU32::new(0)));
        let changes = run(&shared, |(generation, change)| {
            change.store(1, Relaxed);
            generation.advance();
        });
        let (generation, change) = &*shared;
        if generation.get() == 1 {
            assert_eq!(change.load(Relaxed), 1);
        }
        changes.join().unwrap();
    });
}

#[test]
fn tier_health_that_holds_was_stored_before() {
    model(|| {
        let shared = Arc::new((Validity::new(), AtomicU32::new(0)));
        let recomputes = run(&shared, |(validity, health)| {
            assert!(validity.begin());
            health.store(1, Relaxed);
            validity.finish(0, at(0), at(10));
        });
        let (validity, health) = &*shared;
        if validity.holds(0, at(5)) {
            assert_eq!(health.load(Relaxed), 1);
        }
        recomputes.join().unwrap();
    });
}

#[test]
fn one_thread_recomputes_tier_health_at_a_time() {
    model(|| {
        let shared = Arc::new((Validity::new(), AtomicU32::new(0)));
        let recompute = |(validity, passes): &(Validity, AtomicU32)| {
            let begun = validity.begin();
            if begun {
                // Two passes at a time, or one that does not read what the pass before it stored, would count once.
                passes.store(passes.load(Relaxed) + 1, Relaxed);
                validity.finish(0, at(0), at(10));
            }
            u32::from(begun)
        };
        let other = run(&shared, recompute);
        let begun = recompute(&shared) + other.join().unwrap();
        assert_eq!(shared.1.load(Relaxed), begun);
    });
}
