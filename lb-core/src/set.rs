//! Every backend of one snapshot with its state.

use std::time::Duration;

use crate::backend::Backend;
use crate::outlier::FailLimit;
use crate::snapshot::Snapshot;
use crate::state::Held;
use crate::time::Timestamp;

/// The membership that picks are made from, for status pages and hooks: immutable, replaced as a whole.
#[derive(Debug, Default)]
pub struct BackendSet {
    snapshot: Snapshot,
    /// In the snapshot's order.
    members: Box<[Member]>,
}

/// A backend's state and the failures that eject it.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) held: Held,
    /// The backend's own limit, or none where ejecting it would leave nothing to pick.
    pub(crate) fail_limit: Option<FailLimit>,
}

impl BackendSet {
    pub(crate) fn new(snapshot: &Snapshot, members: Vec<Member>) -> Self {
        Self {
            snapshot: snapshot.clone(),
            members: members.into(),
        }
    }

    /// Every backend as it stands at `now`, in the snapshot's order.
    pub fn status(&self, now: Timestamp) -> impl Iterator<Item = BackendStatus<'_>> {
        self.members().map(move |(backend, member)| {
            let state = member.held.state();
            let ejected_until = |limit| state.failures.ejected_until(limit, now);
            BackendStatus {
                backend,
                in_flight: member.held.in_flight(),
                fails: state.failures.fails(),
                connect_time: state.connect_time.get_at(now),
                ejected_until: member.fail_limit.and_then(ejected_until),
                joined_at: state.joined_at(),
            }
        })
    }

    /// The snapshot that this set was made of.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    pub(crate) fn members(&self) -> impl Iterator<Item = (&Backend, &Member)> {
        self.snapshot.iter().zip(&self.members)
    }
}

/// One backend at one moment.
#[non_exhaustive]
#[derive(Clone, Debug)]
pub struct BackendStatus<'a> {
    /// The backend as the source reported it.
    pub backend: &'a Backend,
    /// Connections that it holds.
    pub in_flight: u32,
    /// Failures that are not yet forgiven.
    pub fails: u32,
    /// The moving average of the times that connecting took.
    pub connect_time: Option<Duration>,
    /// When its ejection ends, if it is ejected.
    pub ejected_until: Option<Timestamp>,
    /// When it became known.
    pub joined_at: Timestamp,
}
