//! Every backend of one snapshot with its state.

use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::Duration;

use crate::backend::Backend;
use crate::health::Health;
use crate::held::Held;
use crate::snapshot::Snapshot;
use crate::time::Timestamp;

/// The membership that picks are made from, for status pages and hooks: immutable, replaced as a whole.
#[derive(Debug, Default)]
pub struct BackendSet {
    snapshot: Snapshot,
    /// In the snapshot's order.
    members: Box<[Held]>,
    /// The order by address, worked out when somebody asks.
    by_addr: OnceLock<Box<[u32]>>,
}

impl BackendSet {
    pub(crate) fn new(snapshot: &Snapshot, members: Vec<Held>) -> Self {
        Self {
            snapshot: snapshot.clone(),
            members: members.into(),
            by_addr: OnceLock::new(),
        }
    }

    /// Every backend as it stands at `now`, in the snapshot's order.
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

    /// The snapshot that this set was made of.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Whether there is a backend at `addr`. O(log n) after the first call for a membership.
    pub fn contains(&self, addr: SocketAddr) -> bool {
        self.find(addr).is_some()
    }

    pub(crate) fn find(&self, addr: SocketAddr) -> Option<&Held> {
        let backends = self.snapshot.as_slice();
        let by_addr = self.by_addr.get_or_init(|| {
            let mut order: Box<[u32]> = (0..backends.len() as u32).collect();
            order.sort_by_key(|&i| backends[i as usize].addr);
            order
        });
        let found = by_addr.binary_search_by_key(&addr, |&i| backends[i as usize].addr);
        self.members.get(by_addr[found.ok()?] as usize)
    }

    pub(crate) fn members(&self) -> impl Iterator<Item = (&Backend, &Held)> {
        self.snapshot.iter().zip(&self.members)
    }
}

/// One backend at one moment.
#[non_exhaustive]
#[derive(Clone, Debug)]
pub struct BackendStatus<'a> {
    /// The backend as the source reported it.
    pub backend: &'a Backend,
    /// Connections that it holds. While an update goes on it may be one off for some nanoseconds.
    pub in_flight: u32,
    /// Failures that are not yet forgiven.
    pub fails: u32,
    /// The moving average of the times that connecting took.
    pub connect_time: Option<Duration>,
    /// What the active checks say.
    pub health: Health,
    /// When its ejection ends, if it is ejected.
    pub ejected_until: Option<Timestamp>,
    /// When it became known.
    pub joined_at: Timestamp,
}
