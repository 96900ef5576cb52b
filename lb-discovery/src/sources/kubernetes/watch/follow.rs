//! From objects that change to a stream of sets.

use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, StreamExt};
use lb_core::Snapshot;
use tokio::time::{Instant, sleep_until};

use crate::error::DiscoveryError;
use crate::source::SnapshotStream;
use crate::sources::kubernetes::error;
use crate::sources::kubernetes::watch::object_store::Memory;

/// How long changes are gathered, from the first one on. The set is made of all objects, so this bounds what a storm of
/// changes costs; the driver waits as well, which together is still a fraction of the second that a change may take.
const GATHER: Duration = Duration::from_millis(100);

/// How long objects that were watched must go on saying that there is no backend. A slice that is replaced is deleted
/// first, and a port that is renamed changes in the Service before the controller changes it in the slices. kube-proxy
/// gathers changes for as long (its `minSyncPeriod`).
const SETTLE: Duration = Duration::from_secs(1);

/// What the objects come to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Outcome {
    /// Not everything is listed yet.
    Pending,
    Backends(Snapshot),
    /// The API answers that there are no backends, and this is why.
    Nothing(String),
}

impl Outcome {
    /// Where a set cannot be made, the objects say that there is none.
    pub(crate) fn of(made: Result<Snapshot, String>) -> Self {
        match made {
            Ok(snapshot) => Self::Backends(snapshot),
            Err(reason) => Self::Nothing(reason),
        }
    }
}

/// What a source follows, and the set it makes of it.
pub(crate) trait View: Send + 'static {
    /// Waits until something changes. Cancelling the wait must lose nothing.
    fn changed(&mut self) -> impl Future<Output = Result<(), DiscoveryError>> + Send;

    /// What the objects come to now.
    fn outcome(&mut self) -> Outcome;
}

/// The sets of `view`: the first as soon as there is one, then one for each burst of changes that made a difference.
/// Where the objects say that there are no backends, the item is an error that names `what` and says why, and the stream
/// goes on. `memory` keeps from one stream to the next whether there were backends.
pub(crate) fn follow<V: View>(what: Box<str>, view: V, memory: &Arc<Memory>) -> SnapshotStream {
    let following = Following {
        what,
        view,
        memory: Arc::clone(memory),
        told: Outcome::Pending,
        failed: None,
    };
    stream::unfold(Some(following), |following| async {
        let mut following = following?;
        let item = following.next().await;
        let goes_on = item
            .as_ref()
            .err()
            .is_none_or(DiscoveryError::is_authoritative_empty);
        Some((item, goes_on.then_some(following)))
    })
    .boxed()
}

struct Following<V> {
    what: Box<str>,
    view: V,
    memory: Arc<Memory>,
    /// The last item.
    told: Outcome,
    /// A failure that is told after what was learnt before it.
    failed: Option<DiscoveryError>,
}

impl<V: View> Following<V> {
    async fn next(&mut self) -> Result<Snapshot, DiscoveryError> {
        loop {
            if let Some(error) = self.failed.take() {
                return Err(error);
            }
            self.view.changed().await?;
            if self.told != Outcome::Pending {
                self.gather(Instant::now() + GATHER).await;
            }
            let outcome = self.settled().await;
            if outcome == Outcome::Pending || outcome == self.told {
                continue;
            }
            self.told = outcome;
            let has_backends = matches!(self.told, Outcome::Backends(_));
            self.memory.told(has_backends);
            match &self.told {
                Outcome::Pending => {}
                Outcome::Backends(snapshot) => return Ok(snapshot.clone()),
                Outcome::Nothing(reason) => return Err(error::no_backends(&self.what, reason)),
            }
        }
    }

    /// The outcome, once it is one that lasts. What was told before, if there is a failure first.
    async fn settled(&mut self) -> Outcome {
        let mut outcome = self.view.outcome();
        let had_backends = match self.told {
            Outcome::Pending => self.memory.told_backends(),
            Outcome::Backends(_) => true,
            Outcome::Nothing(_) => false,
        };
        if !had_backends {
            return outcome;
        }
        let over = Instant::now() + SETTLE;
        while matches!(outcome, Outcome::Nothing(_))
            && self.failed.is_none()
            && Instant::now() < over
        {
            let next = Instant::now() + GATHER;
            self.gather(next.min(over)).await;
            outcome = self.view.outcome();
        }
        if self.failed.is_some() && matches!(outcome, Outcome::Nothing(_)) {
            return self.told.clone();
        }
        outcome
    }

    async fn gather(&mut self, until: Instant) {
        let over = sleep_until(until);
        tokio::pin!(over);
        loop {
            tokio::select! {
                biased;
                () = &mut over => return,
                changed = self.view.changed() => if let Err(error) = changed {
                    self.failed = Some(error);
                    return;
                },
            }
        }
    }
}

#[cfg(test)]
mod tests;
