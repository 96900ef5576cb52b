//! State that outlives every set: the states by address and the cursors by priority.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Weak;
use std::time::Duration;

use super::set::BackendSet;
use crate::backend::{Backend, Health, Priority};
use crate::config::BalancerConfig;
use crate::delta::Delta;
use crate::known::Known;
use crate::lease::reference::StateRef;
use crate::snapshot::Snapshot;
use crate::state::backend_state::BackendState;
use crate::state::memory::BackendMemory;
use crate::state::owner::Owner;
use crate::sync::{Arc, atomic::AtomicU64};
use crate::tiers::identity::identities_of;
use crate::tiers::tier::Tier;
use crate::time::Timestamp;

/// For how long a backend that becomes known begins with what another process remembered of it.
const RECALL: Duration = Duration::from_secs(60);

/// The step from one set to the next.
pub(crate) struct Advance {
    pub(crate) set: BackendSet,
    pub(crate) delta: Delta,
    /// The positions of the backends whose states have a new description.
    pub(crate) described: Vec<u32>,
}

/// What outlives every set.
#[derive(Debug)]
pub(crate) struct Registry {
    /// Backends that were removed while connections were in flight. One that returns before they end has its state
    /// again.
    departed: BTreeMap<SocketAddr, StateRef<BackendState>>,
    /// What another process remembered of backends that are not known yet, and the moment of the recall.
    recalled: BTreeMap<SocketAddr, BackendMemory>,
    recalled_at: Timestamp,
    /// By priority, and whether the tier is that of the preferred zone.
    cursors: BTreeMap<(Priority, bool), Arc<AtomicU64>>,
    /// Given to every state.
    owner: Weak<dyn Owner>,
}

impl Registry {
    pub(crate) const fn new(owner: Weak<dyn Owner>) -> Self {
        Self {
            departed: BTreeMap::new(),
            recalled: BTreeMap::new(),
            recalled_at: Timestamp::from_nanos(0),
            cursors: BTreeMap::new(),
            owner,
        }
    }

    /// Takes what another process remembered. See [`Updater::recall`](crate::Updater::recall).
    pub(crate) fn recall(
        &mut self,
        memories: impl IntoIterator<Item = BackendMemory>,
        now: Timestamp,
    ) {
        let memories = memories.into_iter();
        self.recalled = memories.map(|memory| (memory.addr, memory)).collect();
        self.recalled_at = now;
    }

    /// The set of `snapshot`, in which every backend that stays has the state that it has in `old`.
    pub(crate) fn advance(
        &mut self,
        old: Option<&BackendSet>,
        snapshot: &Snapshot,
        initial: Health,
        now: Timestamp,
    ) -> Advance {
        self.departed.retain(|_, gone| gone.in_flight() > 0);
        if now.saturating_since(self.recalled_at) > RECALL {
            self.recalled.clear();
        }
        let late = old.is_some();
        let owner = Weak::clone(&self.owner);
        let new = |backend: &Arc<Backend>| {
            let owner = Weak::clone(&owner);
            let state = BackendState::new(Arc::clone(backend), now, late, owner);
            state.set_initial_health(initial);
            StateRef::new(state)
        };
        let mut known = Known::new(old.into_iter().flat_map(BackendSet::members));
        let mut delta = Delta::default();
        let mut described = Vec::new();
        let members = (0..).zip(snapshot).map(|(at, backend)| {
            let before = known.take(backend.addr);
            let differs = delta.compare(before.map(|(before, _)| before), backend);
            if let Some((_, member)) = before.filter(|_| !differs) {
                return member.clone();
            }
            described.push(at);
            let stays = before.filter(|(before, _)| before.instance == backend.instance);
            let reference = stays.map(|(_, member)| member.clone());
            let backend = Arc::new(backend.clone());
            let reference = reference.or_else(|| self.returned(&backend));
            if let Some(reference) = reference {
                reference.state().set_description(backend);
                return reference;
            }
            let reference = new(&backend);
            self.remember(&backend, reference.state());
            reference.state().set_description(backend);
            reference
        });
        let members = members.collect();
        for (backend, member) in known.left() {
            delta.removed.push(backend.addr);
            if member.in_flight() > 0 {
                self.departed.insert(backend.addr, member.clone());
            }
        }
        Advance {
            set: BackendSet::new(snapshot, members),
            delta,
            described,
        }
    }

    /// Lets the new state of a backend begin with what another process remembered, if it did.
    fn remember(&self, backend: &Backend, state: &BackendState) {
        let memory = self.recalled.get(&backend.addr);
        if let Some(memory) = memory.filter(|memory| memory.instance == backend.instance) {
            state.recall(memory, self.recalled_at);
        }
    }

    /// Forgets what another process remembered of the backends of `set`, which is in force from now on, and the states of
    /// those that have returned.
    pub(crate) fn settle(&mut self, set: &BackendSet) {
        if !self.recalled.is_empty() || !self.departed.is_empty() {
            for backend in set.snapshot() {
                self.recalled.remove(&backend.addr);
                self.departed.remove(&backend.addr);
            }
        }
    }

    /// The state that a backend had before it was removed, if connections have kept it.
    fn returned(&self, backend: &Backend) -> Option<StateRef<BackendState>> {
        let departed = self.departed.get(&backend.addr);
        let departed =
            departed.filter(|gone| gone.state().description().instance == backend.instance);
        departed.cloned()
    }

    /// The backends of `set` that take connections and are in the subset, by priority, near before far.
    pub(crate) fn tiers(&mut self, set: &BackendSet, config: &BalancerConfig) -> Vec<Tier> {
        let backends = set.snapshot().as_slice();
        let mut by_priority: BTreeMap<Priority, Vec<u32>> = BTreeMap::new();
        for (at, backend) in (0..).zip(backends) {
            if backend.takes_connections() {
                by_priority.entry(backend.priority).or_default().push(at);
            }
        }
        let mut tiers = Vec::new();
        for (priority, mut taking) in by_priority {
            if let Some(subset) = config.subset {
                let states = taking.iter().map(|&at| set.member(at).state());
                let chosen = subset.choose(&identities_of(states));
                taking = chosen.into_iter().map(|i| taking[i]).collect();
            }
            let (near, far) = match &config.zone {
                Some(zone) => taking
                    .into_iter()
                    .partition(|&at| zone.contains(&backends[at as usize])),
                None => (Vec::new(), taking),
            };
            for (positions, is_near) in [(near, true), (far, false)] {
                if !positions.is_empty() {
                    let cursor = self.cursors.entry((priority, is_near)).or_default();
                    let (snapshot, cursor) = (set.snapshot(), Arc::clone(cursor));
                    let state = |at| set.member(at).clone();
                    tiers.push(Tier::new(snapshot, positions, state, is_near, cursor));
                }
            }
        }
        tiers
    }
}
