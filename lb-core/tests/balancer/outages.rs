//! Outages of the path to all backends: ejections that are no backend's fault.

use std::num::NonZeroU32;
use std::time::Duration;

use lb_core::policy::PolicyKind;
use lb_core::{
    BalancerConfig, CommonOutage, FailLimit, FailureEffect, Health, OnAllEjected, OutlierDetection,
    PickError, PickRequest, SplitMix64, Timestamp, Tried,
};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::support::{Bench, at, number, small, tried, weighted};

const N: usize = 3;

fn millis(millis: u64) -> Timestamp {
    Timestamp::from_nanos(millis * 1_000_000)
}

/// The settings with nginx's refusal while all backends are ejected.
fn refusing(config: BalancerConfig) -> BalancerConfig {
    config.on_all_ejected(OnAllEjected::Refuse)
}

fn bench(kind: PolicyKind, outage: Option<CommonOutage>) -> Bench {
    let config = BalancerConfig::default().common_outage(outage);
    Bench::with(small(kind), refusing(config), &weighted(&[1; N]))
}

fn forgiving() -> Bench {
    bench(
        PolicyKind::WeightedRoundRobin,
        Some(CommonOutage::default()),
    )
}

/// The backends numbered `numbers` do not answer.
fn cut_off(bench: &mut Bench, numbers: impl IntoIterator<Item = usize>, now: Timestamp) {
    for i in numbers {
        let pick = bench.pick_only(i, N, now).unwrap();
        assert_eq!(pick.unanswered(now), FailureEffect::Ejected);
    }
}

fn refused(bench: &mut Bench, now: Timestamp) -> bool {
    let pick = bench.pick_at(&Tried::new(), now);
    assert!(matches!(pick, Ok(_) | Err(PickError::Exhausted)));
    pick.is_err()
}

fn ejected(bench: &Bench, now: Timestamp) -> usize {
    let set = bench.balancer.set();
    let status = set.status(now);
    status.filter(|one| one.ejected_until.is_some()).count()
}

#[test]
fn the_first_success_after_an_outage_forgives_all_backends_with_every_policy() {
    for kind in PolicyKind::ALL {
        let mut bench = bench(kind, Some(CommonOutage::default()));
        cut_off(&mut bench, 0..N, millis(1000));
        assert!(refused(&mut bench, millis(1001)), "{kind}: it is noticed");
        assert!(refused(&mut bench, millis(1100)), "{kind}: too early");
        let trial = bench.pick_at(&Tried::new(), millis(1101)).unwrap();
        assert!(refused(&mut bench, millis(1101)), "{kind}: a second trial");
        trial.connected(millis(4000));
        drop(trial);
        assert_eq!(ejected(&bench, millis(4000)), 0, "{kind}");
        let forgiven = bench.balancer.take_forgiven().unwrap();
        assert_eq!(forgiven.backends, 3, "{kind}");
        let outage = forgiven.outage.as_millis();
        assert!((2999..=3000).contains(&outage), "{kind}: {outage} ms");
        assert_eq!(bench.balancer.take_forgiven(), None);
        let counts = bench.counts(300, N, millis(4001));
        let expected = if kind == PolicyKind::First { 1 } else { N };
        let used = counts.iter().filter(|&&count| count > 0).count();
        assert_eq!(used, expected, "{kind}: {counts:?}");
    }
}

#[test]
fn without_the_setting_an_ejection_lasts_for_its_time() {
    let mut bench = bench(PolicyKind::WeightedRoundRobin, None);
    cut_off(&mut bench, 0..N, at(1));
    for ms in (1000..11_000).step_by(50) {
        assert!(refused(&mut bench, millis(ms)), "{ms}");
    }
    assert!(!refused(&mut bench, millis(11_001)));
}

#[test]
fn a_refused_connection_is_its_backends_fault() {
    for refusing in 1..=N {
        let mut bench = forgiving();
        for i in 0..refusing {
            let _ = bench.pick_only(i, N, at(1)).unwrap().failed(at(1));
        }
        cut_off(&mut bench, refusing..N, at(1));
        for ms in (1000..11_000).step_by(50) {
            assert!(refused(&mut bench, millis(ms)), "{refusing}, {ms}");
        }
        assert_eq!(bench.balancer.take_forgiven(), None);
    }
}

#[test]
fn failures_that_are_far_apart_have_no_common_cause() {
    let outage = CommonOutage::default().window(Duration::from_secs(2));
    for (last, is_common) in [(2999, true), (3001, false)] {
        let mut bench = bench(PolicyKind::WeightedRoundRobin, Some(outage));
        cut_off(&mut bench, 0..N - 1, millis(1000));
        cut_off(&mut bench, N - 1..N, millis(last));
        assert!(refused(&mut bench, millis(3001)));
        assert_eq!(!refused(&mut bench, millis(3101)), is_common, "{last}");
    }
}

#[test]
fn one_backend_alone_may_be_dead() {
    let mut bench = forgiving();
    for i in 1..N {
        bench.check(i, Health::Unhealthy, at(1));
    }
    cut_off(&mut bench, 0..1, at(1));
    for ms in (1000..11_000).step_by(50) {
        assert!(refused(&mut bench, millis(ms)), "{ms}");
    }
}

#[test]
fn a_failed_trial_changes_nothing() {
    let mut bench = forgiving();
    cut_off(&mut bench, 0..N, at(1));
    assert!(refused(&mut bench, at(1)));
    for ms in (1100..10_000).step_by(100) {
        let trial = bench.pick_at(&Tried::new(), millis(ms)).unwrap();
        assert_eq!(trial.unanswered(millis(ms)), FailureEffect::Counted, "{ms}");
    }
    // Ejected since the first second, not since the last trial.
    assert_eq!(ejected(&bench, at(11)), N);
    assert_eq!(ejected(&bench, millis(11_001)), 0);
}

#[test]
fn a_connection_that_began_during_the_outage_blames_no_backend_after_it() {
    let mut bench = forgiving();
    let early = bench.pick_only(0, N, at(1)).unwrap();
    cut_off(&mut bench, 0..N, at(1));
    assert!(refused(&mut bench, at(1)));
    let late = bench.pick_at(&Tried::new(), at(2)).unwrap();
    let trial = bench.pick_at(&Tried::new(), at(3)).unwrap();
    trial.connected(millis(3100));
    for pick in [early, late] {
        assert_eq!(pick.unanswered(millis(3200)), FailureEffect::Counted);
    }
    assert_eq!(ejected(&bench, millis(3200)), 0);
    // A connection that began after it does.
    cut_off(&mut bench, 0..1, millis(3200));
}

#[test]
fn a_refusal_proves_that_the_path_is_back_and_ejects_its_backend_alone() {
    let mut bench = forgiving();
    cut_off(&mut bench, 0..N, at(1));
    assert!(refused(&mut bench, at(1)));
    let trial = bench.pick_only(1, N, at(2)).unwrap();
    assert_eq!(trial.failed(at(2)), FailureEffect::Ejected);
    assert!(bench.pick_only(1, N, at(2)).is_err());
    let counts = bench.counts(100, N, at(2));
    assert!(matches!(counts[..], [45..=55, 0, 45..=55]), "{counts:?}");
    assert_eq!(bench.balancer.take_forgiven().unwrap().backends, 3);
}

#[test]
fn a_successful_check_forgives_and_a_failed_one_stays() {
    let mut bench = forgiving();
    cut_off(&mut bench, 0..N, at(1));
    bench.check(2, Health::Unhealthy, at(2));
    assert_eq!(ejected(&bench, at(2)), N);
    // The first pick comes after the first check: nothing has noticed the outage before.
    bench.check(0, Health::Healthy, at(3));
    assert_eq!(ejected(&bench, at(3)), 0);
    let counts = bench.counts(100, N, at(3));
    assert!(matches!(counts[..], [45..=55, 45..=55, 0]), "{counts:?}");
}

#[test]
fn a_trial_gets_no_unhealthy_backend_and_none_that_the_connection_tried() {
    let mut bench = forgiving();
    cut_off(&mut bench, 0..N, at(1));
    bench.check(2, Health::Unhealthy, at(1));
    assert!(refused(&mut bench, at(1)));
    assert!(bench.pick_only(2, N, at(2)).is_err());
    assert!(bench.pick_at(&tried(0..N), at(2)).is_err());
    // Neither took the trial away from this one.
    assert_eq!(number(&bench.pick_only(1, N, at(2)).unwrap()), 1);
}

#[test]
fn ejections_of_outlier_detection_are_forgiven_too() {
    let detection = OutlierDetection::default()
        .consecutive_failures(1)
        .max_ejected_percent(100);
    let config = BalancerConfig::default().outlier_detection(detection);
    let backends = weighted(&[1; N]);
    let backends = backends.iter().cloned().map(|one| one.fail_limit(None));
    let policy = small(PolicyKind::WeightedRoundRobin);
    let mut bench = Bench::with(policy, config, &backends.collect());
    cut_off(&mut bench, 0..N, at(100));
    assert!(refused(&mut bench, at(100)));
    bench
        .pick_at(&Tried::new(), at(103))
        .unwrap()
        .connected(at(103));
    assert_eq!(bench.counts(300, N, at(103)), [100; N]);
    assert_eq!(bench.balancer.take_forgiven().unwrap().backends, 3);
}

#[test]
fn an_embedder_that_sees_the_link_return_forgives_without_a_connection() {
    let mut bench = forgiving();
    // Not all backends are behind the link.
    cut_off(&mut bench, 0..2, at(1));
    bench.balancer.forgive_unanswered(at(2));
    assert_eq!(ejected(&bench, at(2)), 0);
    assert_eq!(bench.balancer.take_forgiven().unwrap().backends, 2);
    let _ = bench.pick_only(0, N, at(3)).unwrap().failed(at(3));
    bench.balancer.forgive_unanswered(at(4));
    assert_eq!(ejected(&bench, at(4)), 1, "it refused");
    assert_eq!(bench.balancer.take_forgiven(), None);
}

#[test]
fn an_ejection_from_before_the_link_was_lost_is_not_forgiven() {
    let detection = OutlierDetection::default()
        .consecutive_failures(1)
        .max_ejected_percent(100);
    let by_limit = weighted(&[1; N]);
    let as_outlier = by_limit.iter().cloned();
    let as_outlier = as_outlier.map(|one| one.fail_limit(None)).collect();
    let limited = BalancerConfig::default();
    let detecting = limited.clone().outlier_detection(detection);
    for (config, backends) in [(limited, by_limit), (detecting, as_outlier)] {
        let policy = small(PolicyKind::WeightedRoundRobin);
        let mut bench = Bench::with(policy, config, &backends);
        // The host of the first one is down. The link is lost at 103 and returns at 106.
        cut_off(&mut bench, [0], at(100));
        cut_off(&mut bench, [1], at(104));
        bench.balancer.forgive_unanswered_since(at(103), at(106));
        assert_eq!(bench.balancer.take_forgiven().unwrap().backends, 1);
        assert!(bench.pick_only(0, N, at(106)).is_err());
        assert!(bench.pick_only(1, N, at(106)).is_ok());
        bench.balancer.forgive_unanswered(at(106));
        assert!(bench.pick_only(0, N, at(106)).is_ok());
    }
}

/// What happens to a connection, after some milliseconds.
#[derive(Clone, Copy, Debug)]
enum Event {
    Connects,
    Refused,
    Unanswered,
    Check(usize, bool),
}

fn events(answers_only: bool) -> impl Strategy<Value = Vec<(Event, u64)>> {
    let event = prop_oneof![
        2 => Just(Event::Connects),
        2 => Just(Event::Refused),
        if answers_only { 0 } else { 12 } => Just(Event::Unanswered),
        1 => (0..N, any::<bool>()).prop_map(|(i, up)| Event::Check(i, up)),
    ];
    vec((event, 0..400_u64), 1..200)
}

fn policies() -> impl Strategy<Value = PolicyKind> {
    proptest::sample::select(PolicyKind::ALL.to_vec())
}

/// Reports `event` at `now`. Returns the number of the backend that was picked, and what the failure did.
fn happen(bench: &mut Bench, event: Event, now: Timestamp) -> Option<(usize, bool)> {
    if let Event::Check(i, up) = event {
        let health = if up {
            Health::Healthy
        } else {
            Health::Unhealthy
        };
        bench.check(i, health, now);
        return None;
    }
    let pick = bench.pick_at(&Tried::new(), now).ok()?;
    let picked = number(&pick);
    let effect = match event {
        Event::Refused => pick.failed(now),
        Event::Unanswered => pick.unanswered(now),
        Event::Connects | Event::Check(..) => {
            pick.connected(now);
            FailureEffect::Counted
        }
    };
    Some((picked, effect == FailureEffect::Ejected))
}

fn limited(max_fails: u32) -> lb_core::Snapshot {
    let limit = FailLimit::new(NonZeroU32::new(max_fails).unwrap(), Duration::from_secs(10));
    let backends = weighted(&[1; N]);
    let backends = backends.iter().cloned();
    backends.map(|one| one.fail_limit(Some(limit))).collect()
}

proptest! {
    /// nginx's behaviour, which the recordings check, is that without the setting.
    #[test]
    fn failures_that_were_answered_have_the_same_effect_with_and_without_the_setting(
        kind in policies(), max_fails in 1..4_u32, events in events(true),
    ) {
        let config = BalancerConfig::default().common_outage(None);
        let mut nginx = Bench::with(small(kind), refusing(config), &limited(max_fails));
        let mut ours = Bench::new(small(kind), &limited(max_fails));
        let mut now = 1000;
        for (event, after) in events {
            now += after;
            let theirs = happen(&mut nginx, event, millis(now));
            prop_assert_eq!(happen(&mut ours, event, millis(now)), theirs);
        }
        prop_assert_eq!(ours.balancer.take_forgiven(), None);
    }

    #[test]
    fn trials_keep_their_distance_are_explained_and_end_with_an_answer(
        kind in policies(), max_fails in 1..4_u32, events in events(false),
    ) {
        let interval = CommonOutage::default().trial_interval;
        let mut bench = Bench::new(small(kind), &limited(max_fails));
        let (mut now, mut last_trial) = (1000, None::<u64>);
        for (event, after) in events {
            now += after;
            let time = millis(now);
            let none = Tried::new();
            let request = PickRequest::new(&none);
            let was_usable = bench.balancer.has_candidate(&request, time);
            let mut rng: SplitMix64 = bench.rng.clone();
            let explained = bench.balancer.explain(&request, time, &mut rng).unwrap().chosen;
            let is_check = matches!(event, Event::Check(..));
            let picked = happen(&mut bench, event, time);
            if !is_check {
                let explained = explained.map(crate::support::number_of);
                prop_assert_eq!(explained, picked.map(|(number, _)| number));
            }
            if picked.is_none() || was_usable {
                prop_assert!(is_check || picked.is_some() == was_usable);
                continue;
            }
            // A trial.
            let last = last_trial.replace(now);
            prop_assert!(last.is_none_or(|last| u128::from(now - last) >= interval.as_millis()));
            match event {
                Event::Connects => {
                    prop_assert!(bench.balancer.take_forgiven().is_some_and(|one| one.backends > 1));
                    prop_assert_eq!(ejected(&bench, time), 0);
                }
                Event::Refused => {
                    prop_assert!(bench.balancer.take_forgiven().is_some_and(|one| one.backends > 1));
                    prop_assert!(ejected(&bench, time) <= 1);
                }
                Event::Unanswered => prop_assert_eq!(picked.map(|(_, ejects)| ejects), Some(false)),
                Event::Check(..) => {}
            }
        }
    }
}
