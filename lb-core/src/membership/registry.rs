//! What outlives every set: the states by address and the cursors by priority.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::backend::{Backend, Priority};
use crate::config::BalancerConfig;
use crate::lease::reference::Held;
use crate::membership::known::Known;
use crate::membership::set::BackendSet;
use crate::membership::shared::Home;
use crate::snapshot::{Delta, Snapshot};
use crate::state::backend_state::BackendState;
use crate::sync::{Arc, atomic::AtomicU64};
use crate::tiers::identity::identities_of;
use crate::tiers::tier::Tier;
use crate::time::Timestamp;

#[derive(Debug)]
pub(crate) struct Registry {
    /// Backends that left while connections were in flight; one that returns in time finds its state again.
    departed: BTreeMap<SocketAddr, Held>,
    /// By priority, and whether the tier is that of the preferred zone.
    cursors: BTreeMap<(Priority, bool), Arc<AtomicU64>>,
    /// Given to every state.
    home: Home,
}

impl Registry {
    pub(crate) const fn new(home: Home) -> Self {
        Self {
            departed: BTreeMap::new(),
            cursors: BTreeMap::new(),
            home,
        }
    }

    /// The set of `snapshot`, in which every backend that stays has the state it has in `old`; and what changed.
    pub(crate) fn advance(
        &mut self,
        old: Option<&BackendSet>,
        snapshot: &Snapshot,
        now: Timestamp,
    ) -> (BackendSet, Delta) {
        self.departed.retain(|_, gone| gone.in_flight() > 0);
        let late = old.is_some();
        let mut known = Known::new(old.into_iter().flat_map(BackendSet::members));
        let mut delta = Delta::default();
        let members = snapshot.iter().map(|backend| {
            let before = known.take(backend.addr);
            delta.note(before.map(|(before, _)| before), backend);
            if let Some((_, member)) = before.filter(|(before, _)| *before == backend) {
                return member.clone();
            }
            let stays = before.filter(|(before, _)| before.instance == backend.instance);
            let held = stays.map(|(_, member)| member.clone());
            let backend = Arc::new(backend.clone());
            let held = held.unwrap_or_else(|| self.returned_or_new(&backend, late, now));
            held.state().describe(backend);
            held
        });
        let members = members.collect();
        for (backend, member) in known.left() {
            delta.removed.push(backend.addr);
            if member.in_flight() > 0 {
                self.departed.insert(backend.addr, member.clone());
            }
        }
        (BackendSet::new(snapshot, members), delta)
    }

    /// The state of a backend that was not there: that of before, if it has returned, or a fresh one.
    fn returned_or_new(&mut self, backend: &Arc<Backend>, late: bool, now: Timestamp) -> Held {
        let departed = self.departed.remove(&backend.addr);
        let returned =
            departed.filter(|gone| gone.state().described().instance == backend.instance);
        returned.unwrap_or_else(|| {
            let home = Home::clone(&self.home);
            Held::new(BackendState::new(Arc::clone(backend), now, late, home))
        })
    }

    /// The backends of `set` that take connections and are in the subset, by priority, the near ones first.
    pub(crate) fn tiers(&mut self, set: &BackendSet, config: &BalancerConfig) -> Vec<Tier> {
        let mut by_priority: BTreeMap<Priority, Vec<(u32, &Backend, &Held)>> = BTreeMap::new();
        for (place, (backend, member)) in (0..).zip(set.members()) {
            if backend.takes_connections() {
                let tier = by_priority.entry(backend.priority).or_default();
                tier.push((place, backend, member));
            }
        }
        let mut tiers = Vec::new();
        for (priority, mut taking) in by_priority {
            if let Some(subset) = config.subset {
                let states = taking.iter().map(|(_, _, member)| member.state());
                let chosen = subset.choose(&identities_of(states));
                taking = chosen.into_iter().map(|i| taking[i]).collect();
            }
            let is_near = |backend: &Backend| {
                let zone = config.zone.as_ref();
                zone.is_some_and(|zone| zone.contains(backend))
            };
            for near in [true, false] {
                let members: Vec<(u32, Held)> = taking
                    .iter()
                    .filter(|(_, backend, _)| is_near(backend) == near)
                    .map(|&(place, _, member)| (place, member.clone()))
                    .collect();
                if !members.is_empty() {
                    let cursor = self.cursors.entry((priority, near)).or_default();
                    tiers.push(Tier::new(set.snapshot(), members, near, Arc::clone(cursor)));
                }
            }
        }
        // nginx never ejects the only server of a group: refusing by rote helps nobody.
        let slots = || tiers.iter().flat_map(|tier| tier.slots());
        let is_alone = slots().nth(1).is_none();
        slots().for_each(|slot| slot.state().spare(is_alone));
        tiers
    }
}
