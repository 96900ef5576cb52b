//! Events in any order, against a model of the expected results.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::memory::Memory;
use super::model::Model;
use super::rig::{Rig, at};
use super::watched::Watched;
use crate::backend::Health;
use crate::config::BalancerConfig;
use crate::lease::pick::Pick;
use crate::pick::request::{PickError, Tried};
use crate::policy::Policy;
use crate::rng::Rng;
use crate::snapshot::Snapshot;
use crate::time::Timestamp;

/// One event. Leases are chosen by a number of any size, modulo how many are held.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// This much time passes.
    Advance(Duration),
    /// A new membership is applied.
    Apply(Snapshot),
    /// The clock shows this moment, earlier or later.
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
    /// A check has found this health of a backend.
    SetHealth(SocketAddr, Health),
    /// Another policy takes over.
    SetPolicy(Arc<dyn Policy>),
}

/// Runs events and checks the invariants after each.
pub(crate) struct Runner {
    rig: Rig,
    config: BalancerConfig,
    now: Timestamp,
    held: Vec<HeldPick>,
    incarnations: BTreeMap<SocketAddr, Incarnation>,
    last: Last,
}

struct HeldPick {
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
            rig: Rig::new(policy, &Snapshot::default()).rng(draws),
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

    /// Runs one event and returns the result of a pick.
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

    fn take(&mut self, choice: usize) -> Option<HeldPick> {
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
                self.held.push(HeldPick {
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
        let changed = self.rig.balancer.set_health(addr, health, self.now);
        assert_eq!(
            changed,
            before.is_some_and(|before| before != health),
            "{addr}"
        );
        assert_eq!(health_of(self), before.map(|_| health), "{addr}");
    }

    /// Runs an update and checks that it keeps the state of the backends that stay.
    fn unchanged_by(&mut self, update: impl FnOnce(&mut Self)) {
        let before = Memory::of(&self.rig.balancer);
        update(self);
        before.assert_kept_in(&Memory::of(&self.rig.balancer));
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

/// Prints where a panic came from, whichever code panicked.
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
