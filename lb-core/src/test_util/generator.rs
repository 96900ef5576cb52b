//! Random events for the interleavings.

use std::num::{NonZeroU32, NonZeroU64};
use std::sync::Arc;
use std::time::Duration;

use super::interleaving::Event;
use super::rig::{addr, backend, settings, tried};
use super::step_rng::StepRng;
use crate::backend::Health;
use crate::backend::{AdminState, Backend, Priority};
use crate::config::BalancerConfig;
use crate::fail_limit::FailLimit;
use crate::pick::request::Tried;
use crate::policy::{Policy, PolicyKind};
use crate::rng::{Rng, SplitMix64};
use crate::snapshot::Snapshot;
use crate::state::outlier::OutlierDetection;
use crate::tiers::slow_start::SlowStart;
use crate::tiers::subset::Subset;
use crate::tiers::zone::ZonePreference;
use crate::time::Timestamp;

/// How many backends the generator uses, for most seeds and for some. Policies may have other pickers for many.
const FEW: u64 = 8;
const MANY: u64 = 100;

/// The policies that alternate with the one that is checked: those that compile quickly for any weights.
const PARTNERS: [PolicyKind; 4] = [
    PolicyKind::LeastConn,
    PolicyKind::P2c,
    PolicyKind::Random,
    PolicyKind::WeightedRoundRobin,
];

/// Random events.
pub(crate) struct Generator<'a> {
    rng: SplitMix64,
    backends: u64,
    policy: &'a dyn Fn() -> Arc<dyn Policy>,
}

impl<'a> Generator<'a> {
    pub(crate) fn new(seed: u64, policy: &'a dyn Fn() -> Arc<dyn Policy>) -> Self {
        Self {
            rng: SplitMix64::new(seed),
            backends: if seed % 8 == 5 { MANY } else { FEW },
            policy,
        }
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.rng
            .below(NonZeroU64::new(bound).expect("a bound above 0"))
    }

    fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }

    pub(crate) fn event(&mut self) -> Event {
        match self.below(36) {
            0..3 => Event::Apply(self.snapshot()),
            3..6 => Event::Advance(Duration::from_secs(self.below(20))),
            6 => {
                let moment = self.rng.next_u64();
                Event::At(Timestamp::from_nanos(self.one_of(&[0, moment, u64::MAX])))
            }
            7..19 => Event::Pick {
                tried: self.tried(),
                key: self.key(),
            },
            19..22 => Event::Connected(self.rng.next_u64() as usize),
            22..25 => Event::Failed(self.rng.next_u64() as usize),
            25..30 => Event::Release(self.rng.next_u64() as usize),
            30 => Event::SetPolicy(self.one_of(&PARTNERS).build()),
            31 => Event::SetConfig(self.config()),
            32..35 => {
                let health = self.one_of(&[Health::Healthy, Health::Unchecked, Health::Unhealthy]);
                Event::SetHealth(addr(self.below(self.backends) as usize), health)
            }
            _ => Event::SetPolicy((self.policy)()),
        }
    }

    fn snapshot(&mut self) -> Snapshot {
        let n = match self.backends {
            MANY => MANY + self.below(MANY),
            few => self.below(few + 1),
        };
        (0..n).map(|_| self.backend()).collect()
    }

    fn backend(&mut self) -> Backend {
        let i = self.below(self.backends) as usize;
        let weight = self.one_of(&[0, 1, 1, 1, 2, 3, 5000, u16::MAX]);
        let max_fails = NonZeroU32::MIN.saturating_add(self.below(3) as u32);
        let fail_timeout = self.one_of(&[Duration::from_secs(10), Duration::ZERO, Duration::MAX]);
        let limit = Some(FailLimit::new(max_fails, fail_timeout));
        let zone = self.one_of(&["a", "b"]);
        let plain = backend(i, weight).fail_limit(limit).zone(zone);
        match self.below(8) {
            0 => plain.priority(Priority::BACKUP),
            1 => plain.admin(AdminState::Drain),
            2 | 3 => plain.max_conns(self.below(4) as u32),
            4 => plain.fail_limit(None),
            5 => plain.instance("another"),
            _ => plain,
        }
    }

    fn config(&mut self) -> BalancerConfig {
        let mut config = settings();
        if self.below(2) == 0 {
            let detection = OutlierDetection::default().consecutive_failures(2);
            config = config.outlier_detection(detection.max_ejected_percent(60));
        }
        if self.below(2) == 0 {
            config = config.slow_start(SlowStart::new(Duration::from_secs(30)));
        }
        if self.below(2) == 0 {
            config = config.panic_threshold(self.one_of(&[30, 50, 100]));
        }
        if self.below(3) == 0 {
            config = config.overprovisioning(140);
        }
        if self.below(3) == 0 {
            config = config.zone(ZonePreference::new("a"));
        }
        if self.below(4) == 0 {
            config = config.subset(Subset::new(self.below(9), 1 + self.below(50) as u32));
        }
        config
    }

    fn tried(&mut self) -> Tried {
        let n = self.one_of(&[0, 0, 1, 2, 7]);
        tried((0..n).map(|_| self.below(self.backends) as usize))
    }

    fn key(&mut self) -> Option<Box<[u8]>> {
        let len = self.below(12) as usize;
        let bytes = self.rng.next_u64().to_le_bytes();
        (len > 0).then(|| bytes.iter().copied().cycle().take(len - 1).collect())
    }
}

/// The generator of draws for a seed; for some seeds one that always draws the same.
pub(crate) fn draws(seed: u64) -> Box<dyn Rng> {
    match seed % 8 {
        0 => Box::new(StepRng::new(0, 0)),
        1 => Box::new(StepRng::new(u64::MAX, 0)),
        2 => Box::new(StepRng::new(seed, 1 << 61)),
        _ => Box::new(SplitMix64::new(seed)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_is_repeatable_and_makes_every_event() {
        let policy = || PolicyKind::P2c.build();
        let events = |seed| {
            let mut generator = Generator::new(seed, &policy);
            (0..400)
                .map(|_| format!("{:?}", generator.event()))
                .collect::<Vec<_>>()
        };
        assert_eq!(events(3), events(3));
        assert_ne!(events(3), events(4));
        for name in [
            "Advance",
            "Apply",
            "At",
            "Connected",
            "Failed",
            "Pick",
            "Release",
            "SetConfig",
            "SetHealth",
            "SetPolicy",
        ] {
            assert!(events(3).iter().any(|e| e.starts_with(name)), "{name}");
        }
        assert!(events(3).iter().any(|e| e.contains(&addr(7).to_string())));
    }
}
