//! Events of an upstream: ejections, recoveries, health, membership, reloads.

use std::sync::Arc;
use std::time::Duration;

use lb_core::{Backend, Delta, Health};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};

/// How many events wait for a subscriber. The oldest ones are lost then.
pub(super) const CAPACITY: usize = 256;

/// Something that happened to an upstream; see [`Upstream::events`](crate::Upstream::events). As data it has its name as `event`.
#[non_exhaustive]
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(tag = "event", rename_all = "snake_case"))]
pub enum UpstreamEvent {
    /// Failures ejected a backend: it gets no connections for some time, unless all are ejected.
    Ejected {
        /// The backend.
        backend: Arc<Backend>,
        /// How long it is ejected. Then the next connection is a trial.
        #[cfg_attr(
            feature = "serde",
            serde(serialize_with = "lb_core::serde_form::seconds")
        )]
        period: Duration,
    },
    /// Ejections ended before their time, because an outage of this machine had caused them; see
    /// [`CommonOutage`](lb_core::CommonOutage). A [`Recovered`](Self::Recovered) for each of them comes before.
    Forgiven {
        /// How many.
        backends: u32,
    },
    /// An active check, or [`Upstream::set_health`](crate::Upstream::set_health), found something else than before.
    Health {
        /// The backend.
        backend: Arc<Backend>,
        /// Its health now.
        health: Health,
    },
    /// A membership was published: sources, overrides, or other settings have changed it.
    Membership {
        /// The addresses that were added, changed and removed.
        delta: Arc<Delta>,
        /// How many backends there are now.
        backends: usize,
    },
    /// A backend that was [ejected](Self::Ejected) is no longer: it took a connection, or the ejection was forgiven. One that
    /// leaves while it is ejected does not recover.
    Recovered {
        /// The backend.
        backend: Arc<Backend>,
    },
    /// A [reload](crate::Handle::reload) has given it other settings or sources. What they change of the membership comes
    /// after.
    Reloaded,
}

impl UpstreamEvent {
    /// The name in JSON, in snake case. Never changes.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Ejected { .. } => "ejected",
            Self::Forgiven { .. } => "forgiven",
            Self::Health { .. } => "health",
            Self::Membership { .. } => "membership",
            Self::Recovered { .. } => "recovered",
            Self::Reloaded => "reloaded",
        }
    }
}

/// The events of an upstream from [`Upstream::events`](crate::Upstream::events) on, each once, in their order.
///
/// The last 256 wait to be taken. Of more than that the oldest are lost, and [counted](Self::lost): a subscriber that is slow
/// delays nothing.
#[derive(Debug)]
pub struct UpstreamEvents {
    events: Receiver<UpstreamEvent>,
    lost: u64,
}

impl UpstreamEvents {
    pub(super) const fn new(events: Receiver<UpstreamEvent>) -> Self {
        Self { events, lost: 0 }
    }

    /// The next event, as soon as there is one. `None` once the upstream is gone. Cancel-safe.
    pub async fn next(&mut self) -> Option<UpstreamEvent> {
        loop {
            match self.events.recv().await {
                Ok(event) => return Some(event),
                Err(RecvError::Lagged(lost)) => self.lost += lost,
                Err(RecvError::Closed) => return None,
            }
        }
    }

    /// The next event, if there is one already.
    pub fn try_next(&mut self) -> Option<UpstreamEvent> {
        loop {
            match self.events.try_recv() {
                Ok(event) => return Some(event),
                Err(TryRecvError::Lagged(lost)) => self.lost += lost,
                Err(TryRecvError::Closed | TryRecvError::Empty) => return None,
            }
        }
    }

    /// How many events this subscriber has lost so far, because it did not take them in time. Those before the event that was
    /// taken last are counted.
    pub const fn lost(&self) -> u64 {
        self.lost
    }
}
