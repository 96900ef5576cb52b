//! Events in any order: the same inputs give the same answers, and a model agrees with them.

use std::ops::Range;
use std::sync::Arc;

use crate::policy::Policy;
use crate::rng::SplitMix64;
use crate::test_util::generator::{Generator, draws};
use crate::test_util::interleaving::{Event, Runner};

/// The same updates, times, draws and keys give the same backends in each run.
pub fn the_same_inputs_give_the_same_answers(
    policy: impl Fn() -> Arc<dyn Policy>,
    seeds: Range<u64>,
) {
    for seed in seeds {
        let run = || {
            let mut generator = Generator::new(seed, &policy);
            let mut runner = Runner::new(policy(), draws(seed), format!("seed {seed}"));
            let events = (0..100).map(|_| generator.event());
            let answers = events.map(|event| runner.run(event));
            answers.collect::<Vec<_>>()
        };
        let differs = run()
            .into_iter()
            .zip(run())
            .position(|(one, two)| one != two);
        assert_eq!(
            differs,
            None,
            "{}: with seed {seed} the second run gave another answer at this step",
            policy().name()
        );
    }
}

/// For each seed, 200 random [`Event`]s: see [`interleaving`].
pub fn interleavings(policy: impl Fn() -> Arc<dyn Policy>, seeds: Range<u64>) {
    for seed in seeds {
        let mut generator = Generator::new(seed, &policy);
        let origin = format!("{} with seed {seed}", policy().name());
        let mut runner = Runner::new(policy(), draws(seed), origin);
        for _ in 0..200 {
            runner.run(generator.event());
        }
    }
}

/// Runs `events` on a balancer without backends.
///
/// Every pick must return an eligible backend (in panic mode, health and ejection do not count) of the first tier that has
/// a healthy one, unless the settings let tiers share, and may be refused only if there is none. Every update and every
/// change of settings must keep the state of the backends that stay. Leases must be counted right.
pub fn interleaving(policy: Arc<dyn Policy>, events: impl IntoIterator<Item = Event>) {
    let origin = policy.name().to_owned();
    let mut runner = Runner::new(policy, Box::new(SplitMix64::new(0x5eed)), origin);
    for event in events {
        runner.run(event);
    }
}
