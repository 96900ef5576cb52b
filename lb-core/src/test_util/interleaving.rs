//! Anything that can happen to a balancer, in any order, against a model of what must come of it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroU64};
use std::sync::Arc;
use std::time::Duration;

use super::model::Model;
use super::rig::{Rig, addr, at, backend, tried};
use super::rng::StepRng;
use super::watched::Watched;
use crate::backend::{AdminState, Backend, Priority};
use crate::config::BalancerConfig;
use crate::detection::OutlierDetection;
use crate::health::Health;
use crate::outlier::FailLimit;
use crate::pick::{Pick, PickError, Tried};
use crate::policy::{Policy, PolicyKind};
use crate::rng::{Rng, SplitMix64};
use crate::slow_start::SlowStart;
use crate::snapshot::Snapshot;
use crate::subset::Subset;
use crate::time::Timestamp;
use crate::zone::ZonePreference;

/// One thing that can happen. Leases are chosen by a number of any size, modulo how many are held.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// This much time passes.
    Advance(Duration),
    /// A new membership is applied.
    Apply(Snapshot),
    /// The clock shows this, be it earlier or later.
    At(Timestamp),
    /// A held lease reports its connection.
    Connected(usize),
    /// A held lease reports a failure and ends.
    Failed(usize),
    /// A connection is picked for, and its lease is held.
    Pick {
        /// The backends it failed on.
        tried: Tried,
        /// Its hash key.
        key: Option<Box<[u8]>>,
    },
    /// A held lease ends.
    Release(usize),
    /// The settings change.
    SetConfig(BalancerConfig),
    /// A check has found this of a backend.
    SetHealth(SocketAddr, Health),
    /// Another policy takes over.
    SetPolicy(Arc<dyn Policy>),
}

/// How many backends the generator knows, for most seeds and for some. Policies may have other ways for many.
const FEW: u64 = 8;
const MANY: u64 = 100;

/// The policies that take turns with the one that is checked: such as compile quickly whatever the weights.
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
                let health = self.one_of(&[Health::Healthy, Health::Unhealthy]);
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
        let plain = backend(i, weight).with_fail_limit(limit).with_zone(zone);
        match self.below(8) {
            0 => plain.with_priority(Priority::BACKUP),
            1 => plain.with_admin(AdminState::Drain),
            2 | 3 => plain.with_max_conns(NonZeroU32::new(self.below(4) as u32)),
            4 => plain.with_fail_limit(None),
            5 => plain.with_instance("another"),
            _ => plain,
        }
    }

    fn config(&mut self) -> BalancerConfig {
        let mut config = BalancerConfig::default();
        if self.below(2) == 0 {
            let two = NonZeroU32::MIN.saturating_add(1);
            let detection = OutlierDetection::default().with_consecutive_failures(two);
            config = config.with_outlier_detection(detection.with_max_ejected_percent(60));
        }
        if self.below(2) == 0 {
            config = config.with_slow_start(SlowStart::new(Duration::from_secs(30)));
        }
        if self.below(2) == 0 {
            config = config.with_panic_threshold(self.one_of(&[30, 50, 100]));
        }
        if self.below(3) == 0 {
            config = config.with_overprovisioning(140);
        }
        if self.below(3) == 0 {
            config = config.with_zone(ZonePreference::new("a"));
        }
        if self.below(4) == 0 {
            config = config.with_subset(Subset::new(self.below(9), 1 + self.below(50) as u32));
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

/// The generator of draws for a seed: now and then one without any luck.
pub(crate) fn draws(seed: u64) -> Box<dyn Rng> {
    match seed % 8 {
        0 => Box::new(StepRng::new(0, 0)),
        1 => Box::new(StepRng::new(u64::MAX, 0)),
        2 => Box::new(StepRng::new(seed, 1 << 61)),
        _ => Box::new(SplitMix64::new(seed)),
    }
}

/// Runs events and checks after each what must hold.
pub(crate) struct Runner {
    rig: Rig,
    config: BalancerConfig,
    now: Timestamp,
    held: Vec<Held>,
    incarnations: BTreeMap<SocketAddr, Incarnation>,
    last: Last,
}

struct Held {
    pick: Pick,
    incarnation: u32,
}

/// The instance last seen at an address, and how many there were before.
#[derive(Clone, Default)]
struct Incarnation {
    instance: Option<Arc<str>>,
    number: u32,
}

impl Runner {
    pub(crate) fn new(policy: Arc<dyn Policy>, draws: Box<dyn Rng>, origin: String) -> Self {
        Self {
            rig: Rig::new(policy, &Snapshot::default()).with_rng(draws),
            config: BalancerConfig::default(),
            now: at(0),
            held: Vec::new(),
            incarnations: BTreeMap::new(),
            last: Last {
                origin,
                step: 0,
                event: None,
            },
        }
    }

    /// Runs one event and returns what a pick answered.
    pub(crate) fn run(&mut self, event: Event) -> Option<Result<SocketAddr, PickError>> {
        let mut answer = None;
        self.last.step += 1;
        self.last.event = Some(event.clone());
        match event {
            Event::Advance(time) => self.now = self.now.saturating_add(time),
            Event::Apply(snapshot) => self.unchanged_by(|runner| runner.apply(&snapshot)),
            Event::At(now) => self.now = now,
            Event::Connected(choice) => {
                if let Some(i) = choice.checked_rem(self.held.len()) {
                    self.held[i].pick.connected(self.now);
                }
            }
            Event::Failed(choice) => {
                if let Some(held) = self.take(choice) {
                    let _ = held.pick.failed(self.now);
                }
            }
            Event::Pick { tried, key } => answer = Some(self.pick(&tried, key.as_deref())),
            Event::Release(choice) => drop(self.take(choice)),
            Event::SetConfig(config) => self.unchanged_by(|runner| {
                runner.config = config.clone();
                runner.rig.updater.set_config(config);
            }),
            Event::SetHealth(addr, health) => self.set_health(addr, health),
            Event::SetPolicy(policy) => self.unchanged_by(|runner| {
                let watched = Arc::new(Watched::new(policy));
                runner.rig.updater.set_policy(watched);
            }),
        }
        self.leases_are_counted();
        answer
    }

    fn apply(&mut self, snapshot: &Snapshot) {
        self.rig.updater.apply(snapshot, self.now);
        for backend in snapshot {
            let seen = self.incarnations.entry(backend.addr).or_default();
            if seen.instance != backend.instance {
                seen.instance.clone_from(&backend.instance);
                seen.number += 1;
            }
        }
    }

    fn take(&mut self, choice: usize) -> Option<Held> {
        let i = choice.checked_rem(self.held.len())?;
        Some(self.held.swap_remove(i))
    }

    fn incarnation(&self, addr: SocketAddr) -> u32 {
        self.incarnations.get(&addr).map_or(0, |seen| seen.number)
    }

    fn pick(&mut self, tried: &Tried, key: Option<&[u8]>) -> Result<SocketAddr, PickError> {
        let model = Model::new(&self.rig.balancer, &self.config, tried, self.now);
        let eligible = &model.eligible;
        match self.rig.pick(tried, key, self.now) {
            Ok(pick) => {
                let backend = pick.backend();
                let picked = (backend.priority, backend.addr);
                assert!(
                    eligible.contains(&picked),
                    "{picked:?} was picked, eligible are {eligible:?}"
                );
                let first = model.first.unwrap_or(picked.0);
                assert_eq!(picked.0, first, "another tier was preferred");
                self.held.push(Held {
                    incarnation: self.incarnation(picked.1),
                    pick,
                });
                Ok(picked.1)
            }
            Err(error) => {
                assert!(eligible.is_empty(), "{error}, eligible are {eligible:?}");
                assert_eq!(error == PickError::Empty, model.empty, "{error}");
                Err(error)
            }
        }
    }

    fn set_health(&self, addr: SocketAddr, health: Health) {
        let health_of = |runner: &Self| {
            let set = runner.rig.balancer.set();
            let mut status = set.status(runner.now);
            status.find(|s| s.backend.addr == addr).map(|s| s.health)
        };
        let before = health_of(self);
        let news = self.rig.balancer.set_health(addr, health, self.now);
        assert_eq!(
            news,
            before.is_some_and(|before| before != health),
            "{addr}"
        );
        assert_eq!(health_of(self), before.map(|_| health), "{addr}");
    }

    /// What is remembered of each backend.
    fn memory(&self) -> BTreeMap<SocketAddr, (Option<Arc<str>>, String)> {
        let set = self.rig.balancer.set();
        let remembered = set.status(self.now).map(|status| {
            let (fails, in_flight) = (status.fails, status.in_flight);
            let (connect_time, joined_at) = (status.connect_time, status.joined_at);
            let health = status.health;
            let memory = format!(
                "{fails} failures, {in_flight} in flight, {connect_time:?} to connect, {joined_at:?}, {health:?}"
            );
            let backend = status.backend;
            (backend.addr, (backend.instance.clone(), memory))
        });
        remembered.collect()
    }

    /// Runs an update and checks that every backend that stays keeps its state.
    fn unchanged_by(&mut self, update: impl FnOnce(&mut Self)) {
        let before = self.memory();
        update(self);
        for (addr, after) in self.memory() {
            let before = before
                .get(&addr)
                .filter(|(instance, _)| *instance == after.0);
            if let Some(before) = before {
                assert_eq!(*before, after, "an update changed the state of {addr}");
            }
        }
    }

    fn leases_are_counted(&self) {
        let mut leases: BTreeMap<(SocketAddr, u32), usize> = BTreeMap::new();
        for held in &self.held {
            *leases
                .entry((held.pick.addr(), held.incarnation))
                .or_default() += 1;
        }
        let set = self.rig.balancer.set();
        for status in set.status(self.now) {
            let addr = status.backend.addr;
            let expected = leases.get(&(addr, self.incarnation(addr))).copied();
            let found = status.in_flight as usize;
            assert_eq!(
                found,
                expected.unwrap_or(0),
                "connections in flight of {addr}"
            );
        }
    }
}

/// Tells where a panic came from, whoever panicked.
struct Last {
    origin: String,
    step: u32,
    event: Option<Event>,
}

impl Drop for Last {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Self {
                origin,
                step,
                event,
            } = self;
            eprintln!("the panic came from {origin}, at step {step}: {event:?}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_repeats_itself_and_knows_every_event() {
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
