//! Fail limits of all backends at once.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use lb_core::policy::WeightedRoundRobin;
use lb_core::{BalancerConfig, FailLimit, FailLimits, FailureEffect, Snapshot};

use crate::support::{Bench, at, backend, number};

fn config(limits: FailLimits) -> BalancerConfig {
    BalancerConfig::default().fail_limits(limits)
}

fn limit(max_fails: u32) -> Option<FailLimit> {
    let max_fails = NonZeroU32::new(max_fails)?;
    Some(FailLimit::new(max_fails, Duration::from_secs(10)))
}

/// The failures of backend 0 that eject it, of at most five.
fn failures_to_eject(bench: &mut Bench) -> Option<usize> {
    (1..=5).find(|_| {
        let pick = bench.pick_only(0, 3, at(1)).unwrap();
        assert_eq!(number(&pick), 0);
        pick.failed(at(1)) == FailureEffect::Ejected
    })
}

fn bench(config: BalancerConfig) -> Bench {
    let own = backend(0).fail_limit(limit(2));
    let set = Snapshot::from_backends([own, backend(1), backend(2)]);
    Bench::with(Arc::new(WeightedRoundRobin::new()), config, &set)
}

#[test]
fn a_limit_of_all_replaces_that_of_each() {
    for (limits, ejected_after) in [
        (FailLimits::OfEach, Some(2)),
        (FailLimits::All(limit(4)), Some(4)),
        (FailLimits::All(None), None),
    ] {
        let mut bench = bench(config(limits));
        assert_eq!(failures_to_eject(&mut bench), ejected_after, "{limits:?}");
    }
}

#[test]
fn a_limit_of_all_applies_to_present_backends_and_to_those_that_change_or_join() {
    let mut bench = bench(config(FailLimits::OfEach));
    bench.updater.set_config(config(FailLimits::All(limit(3))));
    assert_eq!(failures_to_eject(&mut bench), Some(3));
    let again = backend(0).fail_limit(limit(1)).instance("new");
    let set = Snapshot::from_backends([again, backend(1), backend(2)]);
    bench.updater.apply(&set, at(1));
    assert_eq!(failures_to_eject(&mut bench), Some(3));
}
