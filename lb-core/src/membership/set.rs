//! Every backend of one snapshot with its state.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::OnceLock;
use std::time::Duration;

use crate::backend::{AdminState, Backend, Health};
use crate::hash;
use crate::lease::reference::StateRef;
use crate::snapshot::Snapshot;
use crate::state::backend_state::BackendState;
use crate::state::memory::BackendMemory;
use crate::time::Timestamp;

/// The membership that picks are made from, for status pages and hooks: immutable, replaced as a whole.
#[derive(Debug, Default)]
pub struct BackendSet {
    snapshot: Snapshot,
    /// In the snapshot's order.
    members: Box<[StateRef<BackendState>]>,
    /// The order by address, computed at the first search.
    by_addr: OnceLock<Box<[u32]>>,
}

impl BackendSet {
    pub(crate) fn new(snapshot: &Snapshot, members: Vec<StateRef<BackendState>>) -> Self {
        Self {
            snapshot: snapshot.clone(),
            members: members.into(),
            by_addr: OnceLock::new(),
        }
    }

    /// The status of every backend at `now`, in the snapshot's order.
    pub fn status(&self, now: Timestamp) -> impl Iterator<Item = BackendStatus<'_>> {
        self.members()
            .map(move |(backend, member)| BackendStatus::new(backend, member, now))
    }

    /// The status of the backend at `addr` at `now`. Costs as [`contains`](Self::contains).
    pub fn status_of(&self, addr: SocketAddr, now: Timestamp) -> Option<BackendStatus<'_>> {
        let i = self.index_of(addr)?;
        let (backend, member) = (self.snapshot.as_slice().get(i)?, self.members.get(i)?);
        Some(BackendStatus::new(backend, member, now))
    }

    /// What is to be remembered of every backend at `now`, in the snapshot's order, for another process. O(n), and allocates.
    pub fn memories(&self, now: Timestamp) -> impl Iterator<Item = BackendMemory> {
        self.members()
            .map(move |(_, member)| member.state().memory(now))
    }

    /// The snapshot that this set was built from.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// A number that is equal for sets of the same backends with the same weights, names, priorities, limits and
    /// [admin states](crate::AdminState), in any order, and almost certainly differs for others. Replicas whose numbers differ
    /// for long have sources that disagree. O(n).
    pub fn digest(&self) -> u64 {
        self.snapshot.iter().map(digest).fold(0, u64::wrapping_add)
    }

    /// Whether there is a backend at `addr`. O(log n) after the first call for a membership.
    pub fn contains(&self, addr: SocketAddr) -> bool {
        self.find(addr).is_some()
    }

    /// The backend at `addr`. Costs as [`contains`](Self::contains).
    pub fn backend(&self, addr: SocketAddr) -> Option<&Backend> {
        self.snapshot.as_slice().get(self.index_of(addr)?)
    }

    /// The state of the backend at `addr`. Costs as [`contains`](Self::contains).
    pub(crate) fn find(&self, addr: SocketAddr) -> Option<&StateRef<BackendState>> {
        self.members.get(self.index_of(addr)?)
    }

    /// The state of the backend at the position `at` of the snapshot.
    ///
    /// # Panics
    ///
    /// If there is none.
    pub(crate) fn member(&self, at: u32) -> &StateRef<BackendState> {
        &self.members[at as usize]
    }

    pub(crate) fn members(&self) -> impl Iterator<Item = (&Backend, &StateRef<BackendState>)> {
        self.snapshot.iter().zip(&self.members)
    }

    /// The position in the snapshot of the backend at `addr`. O(log n), O(n log n) at the first call.
    fn index_of(&self, addr: SocketAddr) -> Option<usize> {
        let backends = self.snapshot.as_slice();
        let by_addr = self.by_addr.get_or_init(|| {
            let mut order: Box<[u32]> = (0..backends.len() as u32).collect();
            order.sort_by_key(|&i| backends[i as usize].addr);
            order
        });
        let found = by_addr.binary_search_by_key(&addr, |&i| backends[i as usize].addr);
        Some(by_addr[found.ok()?] as usize)
    }
}

/// What of a backend decides which connections it gets, as a number.
fn digest(backend: &Backend) -> u64 {
    let name = backend.name.as_deref();
    hash::fold([
        hash::of_addr(backend.addr),
        name.map_or(0, |name| hash::of_name(name, backend.addr.port())),
        backend.weight.get().into(),
        backend.priority.get().into(),
        backend.max_conns.map_or(0, NonZeroU32::get).into(),
        match backend.admin {
            AdminState::Ready => 0,
            AdminState::Drain => 1,
        },
    ])
}

/// The status of one backend at one moment.
#[non_exhaustive]
#[derive(Clone, Debug)]
pub struct BackendStatus<'a> {
    /// The backend as the source reported it.
    pub backend: &'a Backend,
    /// Connections in flight. While an update runs it may be one off for some nanoseconds.
    pub in_flight: u32,
    /// Failures that are not forgiven yet.
    pub fails: u32,
    /// The decaying peak (peak EWMA) of the times that connecting took: a longer time replaces it at once, and it falls to
    /// 37 % within 10 s without connections. `None` before the first one.
    pub connect_time: Option<Duration>,
    /// The result of the last active check.
    pub health: Health,
    /// When its ejection ends, if it is ejected.
    pub ejected_until: Option<Timestamp>,
    /// When it became known.
    pub joined_at: Timestamp,
}

impl<'a> BackendStatus<'a> {
    fn new(backend: &'a Backend, member: &StateRef<BackendState>, now: Timestamp) -> Self {
        let state = member.state();
        Self {
            backend,
            in_flight: member.in_flight(),
            fails: state.failures.fails(),
            connect_time: state.connect_time.get_at(now),
            ejected_until: state.ejected_until(now),
            health: state.health(),
            joined_at: state.joined_at(),
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::backend::{Priority, Weight};

    fn digest(backends: impl IntoIterator<Item = Backend>) -> u64 {
        BackendSet::new(&backends.into_iter().collect(), Vec::new()).digest()
    }

    #[test]
    fn a_backend_is_found_by_its_address_in_a_snapshot_of_any_order() {
        let backend = |port| Backend::new((Ipv4Addr::LOCALHOST, port).into());
        let snapshot: Snapshot = [3, 1, 4, 2].map(backend).into_iter().collect();
        let set = BackendSet::new(&snapshot, Vec::new());
        for port in 0..6 {
            let addr = backend(port).addr;
            assert_eq!(set.backend(addr), snapshot.find(addr), "{addr}");
        }
        assert_eq!(BackendSet::default().backend(backend(1).addr), None);
    }

    #[test]
    fn the_digest_is_that_of_the_backends_in_any_order() {
        let [a, b] = [1, 2].map(|port| Backend::new((Ipv4Addr::LOCALHOST, port).into()));
        let both = digest([a.clone(), b.clone()]);
        assert_eq!(both, digest([b.clone(), a.clone()]));
        let changed = [
            a.clone().weight(Weight::new(2)),
            a.clone().name("node1"),
            a.clone().admin(AdminState::Drain),
            a.clone().priority(Priority::BACKUP),
            a.clone().max_conns(1),
            Backend::new((Ipv4Addr::LOCALHOST, 3).into()),
        ];
        let others: Vec<u64> = changed.map(|a| digest([a, b.clone()])).to_vec();
        assert!(!others.contains(&both) && !others.contains(&digest([b])));
        let shown_only = a.source("dns:node1").zone("a");
        assert_eq!(
            both,
            digest([shown_only, Backend::new((Ipv4Addr::LOCALHOST, 2).into())])
        );
    }
}
