use proptest::prelude::*;

use super::*;
use crate::SplitMix64;

fn split(weights: &[u32]) -> WeightedSplit {
    WeightedSplit::new(weights.iter().copied(), &mut SplitMix64::new(7))
}

fn shares(split: &WeightedSplit, targets: usize, turns: u64) -> Vec<u64> {
    let mut chosen = vec![0; targets];
    for _ in 0..turns {
        chosen[split.choose().unwrap()] += 1;
    }
    chosen
}

#[test]
fn weights_of_seventy_thirty_and_zero_are_exact_over_every_ten_turns() {
    let split = split(&[70, 30, 0]);
    for _ in 0..50 {
        assert_eq!(shares(&split, 3, 10), [7, 3, 0]);
    }
}

#[test]
fn without_weights_no_target_has_a_turn() {
    for weights in [&[][..], &[0], &[0, 0, 0]] {
        let split = split(weights);
        assert_eq!((split.choose(), split.peek(), split.lap()), (None, None, 0));
    }
}

#[test]
fn a_target_of_weight_zero_keeps_its_place() {
    let split = split(&[0, 5, 0, 5]);
    assert_eq!(shares(&split, 4, 10), [0, 5, 0, 5]);
}

#[test]
fn a_peek_takes_no_turn() {
    let split = split(&[1, 2]);
    for _ in 0..10 {
        let next = split.peek();
        assert_eq!(split.peek(), next);
        assert_eq!(split.choose(), next);
    }
}

#[test]
fn seeds_decide_the_first_turn() {
    let first = |seed| WeightedSplit::new([1, 1, 1, 1], &mut SplitMix64::new(seed)).peek();
    assert_eq!(first(3), first(3));
    let firsts: std::collections::BTreeSet<_> = (0..100).map(first).collect();
    assert_eq!(firsts.len(), 4);
}

#[test]
#[cfg_attr(
    miri,
    ignore = "arithmetic alone: Miri is slow and finds nothing there"
)]
fn the_largest_weights_of_gateway_api_are_exact_over_a_lap() {
    let weights = [1_000_000, 1, 999_983];
    let split = split(&weights);
    assert_eq!(split.lap(), 1_999_984);
    let shares = shares(&split, 3, split.lap());
    assert_eq!(shares, weights.map(u64::from));
}

#[test]
#[cfg_attr(
    miri,
    ignore = "arithmetic alone: Miri is slow and finds nothing there"
)]
fn a_thousand_turns_of_a_long_lap_are_close_to_their_shares() {
    let split = split(&[700_001, 299_999]);
    let shares = shares(&split, 2, 1000);
    assert!(shares[0].abs_diff(700) <= 5, "{shares:?}");
}

#[test]
#[cfg_attr(miri, ignore = "threads that spin are slow there")]
fn threads_that_choose_at_the_same_time_share_the_turns() {
    let split = split(&[3, 1]);
    let chosen: Vec<u64> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| shares(&split, 2, 1000)))
            .collect();
        let shares = threads.into_iter().map(|thread| thread.join().unwrap());
        shares.fold(vec![0, 0], |sum, one| {
            vec![sum[0] + one[0], sum[1] + one[1]]
        })
    });
    assert_eq!(chosen, [3000, 1000]);
}

proptest! {
    #[test]
    #[cfg_attr(miri, ignore = "arithmetic alone: Miri is slow and finds nothing there")]
    fn every_lap_has_every_share(
        weights in proptest::collection::vec(0..2000_u32, 1..17),
        seed: u64,
    ) {
        let split = WeightedSplit::new(weights.iter().copied(), &mut SplitMix64::new(seed));
        let sum: u64 = weights.iter().copied().map(u64::from).sum();
        prop_assume!(sum > 0);
        let turns = shares(&split, weights.len(), sum);
        let exact: Vec<u64> = weights.iter().copied().map(u64::from).collect();
        prop_assert_eq!(turns, exact);
    }
}
