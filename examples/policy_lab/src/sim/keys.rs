//! Keys that move to another backend when the membership changes.

use std::collections::VecDeque;
use std::sync::Arc;

use lb_core::{Balancer, Pick, PickRequest, SplitMix64, Timestamp, Tried, Updater, balancer};

use super::membership::{Membership, number_of};
use crate::model::{Draw, Stream, shuffle};
use crate::scenario::{Change, Scenario, Variant};

/// The number of keys.
const KEYS: usize = 2000;

/// The keys moved by one change of membership.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Move {
    pub(crate) change: String,
    /// In seconds.
    pub(crate) at: f64,
    /// The part of the keys that changed their backend.
    pub(crate) moved: f64,
    /// The part that has to move so that shares follow the weights.
    pub(crate) least: f64,
}

/// A second balancer with the same policy, settings and membership. It picks for a fixed set of keys.
///
/// It is separate, so that its picks do not change the simulated balancer. It has a light load of two connections per
/// backend, and picks for the keys in another order each time, so that policies that ignore keys show it.
#[derive(Debug)]
pub(super) struct KeyProbe<'a> {
    scenario: &'a Scenario,
    updater: Updater,
    balancer: Balancer,
    rng: SplitMix64,
    order_rng: SplitMix64,
    order: Vec<usize>,
    shares: Vec<f64>,
    /// The backend of each key.
    places: Vec<Option<usize>>,
    pub(super) idle: f64,
    pub(super) moves: Vec<Move>,
}

impl<'a> KeyProbe<'a> {
    pub(super) fn new(
        scenario: &'a Scenario,
        variant: &Variant,
        members: &Membership,
        seed: u64,
    ) -> Self {
        let (mut updater, balancer) = balancer(Arc::clone(&variant.policy));
        updater.set_config(variant.config.clone());
        let now = Timestamp::default();
        updater.apply(&members.unlimited(), now);
        let mut probe = Self {
            scenario,
            updater,
            balancer,
            rng: Stream::Probe.generator(seed),
            order_rng: Stream::Keys.generator(seed),
            order: (0..KEYS).collect(),
            shares: members.shares(),
            places: Vec::new(),
            idle: 0.0,
            moves: Vec::new(),
        };
        probe.places = probe.ask(now);
        let again = probe.ask(now);
        probe.idle = difference(&probe.places, &again);
        probe.places = again;
        probe
    }

    /// Applies a change that `members` has applied before.
    pub(super) fn follow(&mut self, change: &Change, members: &Membership, now: Timestamp) {
        self.updater.apply(&members.unlimited(), now);
        let places = self.ask(now);
        let shares = members.shares();
        let lost = |(before, after): (&f64, &f64)| (before - after).max(0.0);
        self.moves.push(Move {
            change: change.label.clone(),
            at: change.at.seconds(),
            moved: difference(&self.places, &places),
            least: self.shares.iter().zip(&shares).map(lost).sum(),
        });
        self.places = places;
        self.shares = shares;
    }

    /// The backend of every key.
    fn ask(&mut self, now: Timestamp) -> Vec<Option<usize>> {
        shuffle(&mut self.order, &mut self.order_rng);
        let mut places = vec![None; KEYS];
        let held = 2 * self.balancer.set().snapshot().len();
        let mut leases: VecDeque<Pick> = VecDeque::with_capacity(held + 1);
        for &key in &self.order {
            let name = format!("key-{key}");
            let tried = Tried::new();
            let request = PickRequest::new(&tried).key(name.as_bytes());
            let Ok(pick) = self.balancer.pick(&request, now, &mut self.rng) else {
                continue;
            };
            let number = number_of(pick.addr());
            let group = self.scenario.group_of(number);
            let connecting = Draw::middle().of(group.connect, 1.0);
            pick.connected(Timestamp::from_nanos(
                now.as_nanos().saturating_add(connecting),
            ));
            places[key] = Some(number);
            leases.push_back(pick);
            if leases.len() > held {
                leases.pop_front();
            }
        }
        places
    }
}

fn difference(before: &[Option<usize>], after: &[Option<usize>]) -> f64 {
    let moved = before.iter().zip(after).filter(|(a, b)| a != b).count();
    moved as f64 / KEYS as f64
}
