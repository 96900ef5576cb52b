//! The shares of the backends.
use std::sync::Arc;

use crate::backend::AdminState;
use crate::pick::request::{PickError, Tried};
use crate::policy::Policy;
use crate::test_util::expectations::Share;
use crate::test_util::rig::{Rig, at, backend, tried, weighted};

const WEIGHTS: [&[u16]; 6] = [
    &[7],
    &[1, 1, 1, 1],
    &[5, 1, 1],
    &[10, 9, 8, 7, 6, 5, 4, 3, 2, 1],
    &[100, 1],
    &[0, 3, 1, 0],
];

/// The only eligible one of several backends is picked, for any weights and any number of times. Without an eligible
/// backend the pick is refused.
pub fn the_only_eligible_backend_is_found(policy: impl Fn() -> Arc<dyn Policy>) {
    let weights = [1000, 7, 1, 300, u16::MAX];
    let n = weights.len();
    let mut rig = Rig::new(policy(), &weighted(&weights));
    for i in 0..n {
        let others = tried((0..n).filter(|&other| other != i));
        let mut expected = vec![0; n];
        expected[i] = 50;
        assert_eq!(rig.counts(&others, 50), expected, "{}", policy().name());
    }
    let refused = rig.pick(&tried(0..n), None, at(0)).map(drop);
    assert_eq!(refused, Err(PickError::Exhausted), "{}", policy().name());
}

/// Idle backends get connections in proportion to their weights, for short laps and, except with hashing policies, for one
/// too long to be stored.
pub fn shares_follow_the_weights(policy: impl Fn() -> Arc<dyn Policy>, share: Share) {
    let short = WEIGHTS.map(|weights| (weights, 300));
    let long: &[u16] = &[65_535, 40_000, 10_000, 3_001, 1_000];
    // The tables of hashing policies have a size, and need not represent so much weight.
    let long = Some((long, 1)).filter(|_| !matches!(share, Share::ByKey(_)));
    for (weights, laps) in short.into_iter().chain(long) {
        let mut rig = Rig::new(policy(), &weighted(weights));
        assert_proportional(&mut rig, share, &Tried::new(), weights, laps);
    }
}

/// While backends are ejected, drained, full or already tried, the others keep their proportions.
pub fn shares_stay_in_proportion_while_some_are_out(
    policy: impl Fn() -> Arc<dyn Policy>,
    share: Share,
) {
    // By number: 1 is ejected, 3 drained, 4 full, 6 tried; the rest keep 4 : 3 : 1.
    let weights = [4, 9, 3, 5, 2, 1, 6];
    let numbered = weights.into_iter().enumerate();
    let snapshot = numbered.map(|(i, weight)| match i {
        3 => backend(i, weight).admin(AdminState::Drain),
        4 => backend(i, weight).max_conns(1),
        _ => backend(i, weight),
    });
    let mut rig = Rig::new(policy(), &snapshot.collect());
    let _ = rig.pick_only(1).failed(at(0));
    let full = rig.pick_only(4);
    assert_proportional(&mut rig, share, &tried([6]), &[4, 0, 3, 0, 0, 1, 0], 1000);
    drop(full);
}

/// While a backend with nearly all the weight was tried, the others share in proportion.
pub fn a_dead_heavy_backend_starves_no_other(policy: impl Fn() -> Arc<dyn Policy>, share: Share) {
    let mut rig = Rig::new(policy(), &weighted(&[u16::MAX, 1, 1]));
    let counts = rig.counts(&tried([0]), 1000);
    assert_eq!(counts[0], 0, "{}: {counts:?}", policy().name());
    let least = match share {
        Share::Exact | Share::OnAverage => 400.0,
        Share::ByKey(tolerance) => 400.0 * (1.0 - tolerance),
        Share::None => return,
    };
    assert!(
        counts[1].min(counts[2]) as f64 > least,
        "{}: {counts:?} for equal weights",
        policy().name()
    );
}

/// A policy of [`Share::ByKey`] sends a key to one backend, whatever is drawn and whichever other backends are not
/// eligible. Checks nothing for other policies.
pub fn equal_keys_meet_again(policy: impl Fn() -> Arc<dyn Policy>, share: Share) {
    if !matches!(share, Share::ByKey(_)) {
        return;
    }
    let name = policy().name();
    let mut rig = Rig::new(policy(), &weighted(&[3, 1, 2, 1, 1, 1, 2]));
    let mut other = Rig::new(policy(), &weighted(&[3, 1, 2, 1, 1, 1, 2]));
    for key in 0..500_u32 {
        let key = key.to_string();
        let mut addr = |tried: &Tried| {
            let pick = rig.pick(tried, Some(key.as_bytes()), at(0));
            pick.map(|pick| pick.backend().addr)
        };
        let home = addr(&Tried::new());
        assert_eq!(addr(&Tried::new()), home, "{name}: key {key} has moved");
        let elsewhere = other.pick(&Tried::new(), Some(key.as_bytes()), at(0));
        let elsewhere = elsewhere.map(|pick| pick.backend().addr);
        assert_eq!(elsewhere, home, "{name}: replicas disagree on key {key}");
        let out = tried([key.len(), key.len() + 2]);
        if home.is_ok_and(|home| !out.contains(home)) {
            let found = addr(&out);
            assert_eq!(found, home, "{name}: key {key} left a healthy backend");
        }
    }
}

/// Picks for some laps and compares the counts with the weights.
fn assert_proportional(rig: &mut Rig, share: Share, tried: &Tried, weights: &[u16], laps: u64) {
    let lap: u64 = weights.iter().copied().map(u64::from).sum();
    let picks = match share {
        Share::Exact => lap * laps.min(10),
        _ => lap * laps,
    };
    let counts = rig.counts(tried, picks);
    let message = format!("{}: {counts:?} for weights {weights:?}", rig.watched.name());
    for (&count, &weight) in counts.iter().zip(weights) {
        assert!(weight > 0 || count == 0, "{message}");
        let expected = (picks * u64::from(weight)) as f64 / lap as f64;
        let off = (count as f64 - expected).abs();
        match share {
            Share::Exact => assert!(off < 0.5, "{message}"),
            Share::ByKey(_) | Share::OnAverage | Share::None => {}
        }
    }
    if let Share::ByKey(tolerance) = share {
        assert_shares(&counts, weights, tolerance, rig.watched.name());
    }
    if share == Share::OnAverage {
        // 99.99 % of seeds stay below 35 with up to 9 degrees of freedom.
        let statistic = chi_square(&counts, weights);
        assert!(statistic < 35.0, "{message}: chi-square {statistic}");
    }
}

/// Asserts that no count of a tier is off its share by more than `tolerance`, chance aside. `of` is what was counted.
pub(super) fn assert_shares(counts: &[u64], weights: &[u16], tolerance: f64, of: &str) {
    let total: u64 = counts.iter().sum();
    let lap: u64 = weights.iter().copied().map(u64::from).sum();
    for (&count, &weight) in counts.iter().zip(weights) {
        let expected = (total * u64::from(weight)) as f64 / lap as f64;
        let off = (count as f64 - expected).abs();
        assert!(
            off <= tolerance * expected + 4.0 * expected.sqrt(),
            "{of}: {counts:?} for weights {weights:?}"
        );
    }
}

/// Pearson's statistic of `counts` against shares in proportion to `weights`.
fn chi_square(counts: &[u64], weights: &[u16]) -> f64 {
    let total: u64 = counts.iter().sum();
    let sum: f64 = weights.iter().copied().map(f64::from).sum();
    let weighted = counts.iter().zip(weights).filter(|(_, w)| **w > 0);
    weighted
        .map(|(&count, &weight)| {
            let expected = total as f64 * f64::from(weight) / sum;
            (count as f64 - expected).powi(2) / expected
        })
        .sum()
}
