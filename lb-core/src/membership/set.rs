//! Every backend of one snapshot with its state.

use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::Duration;

use crate::backend::{Backend, Health};
use crate::lease::reference::StateRef;
use crate::snapshot::Snapshot;
use crate::state::backend_state::BackendState;
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
        self.members().map(move |(backend, member)| {
            let state = member.state();
            BackendStatus {
                backend,
                in_flight: member.in_flight(),
                fails: state.failures.fails(),
                connect_time: state.connect_time.get_at(now),
                ejected_until: state.ejected_until(now),
                health: state.health(),
                joined_at: state.joined_at(),
            }
        })
    }

    /// The snapshot that this set was built from.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Whether there is a backend at `addr`. O(log n) after the first call for a membership.
    pub fn contains(&self, addr: SocketAddr) -> bool {
        self.find(addr).is_some()
    }

    /// The state of the backend at `addr`. O(log n), O(n log n) at the first call.
    pub(crate) fn find(&self, addr: SocketAddr) -> Option<&StateRef<BackendState>> {
        let backends = self.snapshot.as_slice();
        let by_addr = self.by_addr.get_or_init(|| {
            let mut order: Box<[u32]> = (0..backends.len() as u32).collect();
            order.sort_by_key(|&i| backends[i as usize].addr);
            order
        });
        let found = by_addr.binary_search_by_key(&addr, |&i| backends[i as usize].addr);
        self.members.get(by_addr[found.ok()?] as usize)
    }

    pub(crate) fn members(&self) -> impl Iterator<Item = (&Backend, &StateRef<BackendState>)> {
        self.snapshot.iter().zip(&self.members)
    }
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
    /// The moving average of the times that connecting took.
    pub connect_time: Option<Duration>,
    /// The result of the last active check.
    pub health: Health,
    /// When its ejection ends, if it is ejected.
    pub ejected_until: Option<Timestamp>,
    /// When it became known.
    pub joined_at: Timestamp,
}
