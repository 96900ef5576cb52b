//! From objects that change to a stream of sets.

use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, StreamExt};
use lb_core::Snapshot;
use tokio::time::{Instant, sleep_until};

use crate::error::DiscoveryError;
use crate::source::SnapshotStream;
use crate::sources::kubernetes::error;
use crate::sources::kubernetes::watch::history::WatchHistory;

/// How long changes are gathered, from the first one on. A set is computed from all objects, so this limits the cost of a
/// burst of changes. The driver waits as well; together that is a fraction of the second that a change may take.
const GATHER: Duration = Duration::from_millis(100);

/// How long watched objects must show no backend before the source yields that. A slice that is replaced is deleted first,
/// and a port that is renamed changes in the Service before the controller changes it in the slices. kube-proxy gathers
/// changes for the same time (its `minSyncPeriod`).
const SETTLE: Duration = Duration::from_secs(1);

/// The result of the current objects.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum ViewState {
    /// Some objects are not listed yet.
    Pending,
    Backends(Snapshot),
    /// The objects show no backends, for this reason.
    NoBackends(String),
}

impl ViewState {
    /// Makes a result of a set, or of the reason why there is none.
    pub(crate) fn of(made: Result<Snapshot, String>) -> Self {
        match made {
            Ok(snapshot) => Self::Backends(snapshot),
            Err(reason) => Self::NoBackends(reason),
        }
    }
}

/// The objects that a source follows, and the set that it computes from them.
pub(crate) trait View: Send + 'static {
    /// Waits until an object changes. Must be cancel-safe.
    fn changed(&mut self) -> impl Future<Output = Result<(), DiscoveryError>> + Send;

    /// The result of the current objects.
    fn state(&mut self) -> ViewState;
}

/// The sets of `view`: the first as soon as there is one, then one for each burst of changes that changes the set.
///
/// Where the objects show no backends, the item is an error that names `what` and the reason, and the stream continues.
/// `history` carries from one stream to the next whether there were backends.
pub(crate) fn follow<V: View>(
    what: Box<str>,
    view: V,
    history: &Arc<WatchHistory>,
) -> SnapshotStream {
    let following = ViewFollower {
        what,
        view,
        history: Arc::clone(history),
        yielded: ViewState::Pending,
        failed: None,
    };
    stream::unfold(Some(following), |following| async {
        let mut following = following?;
        let item = following.next().await;
        let continues = item
            .as_ref()
            .err()
            .is_none_or(DiscoveryError::is_authoritative_empty);
        Some((item, continues.then_some(following)))
    })
    .boxed()
}

struct ViewFollower<V> {
    what: Box<str>,
    view: V,
    history: Arc<WatchHistory>,
    /// The last item.
    yielded: ViewState,
    /// A failure, yielded after the state that preceded it.
    failed: Option<DiscoveryError>,
}

impl<V: View> ViewFollower<V> {
    async fn next(&mut self) -> Result<Snapshot, DiscoveryError> {
        loop {
            if let Some(error) = self.failed.take() {
                return Err(error);
            }
            self.view.changed().await?;
            if self.yielded != ViewState::Pending {
                self.gather(Instant::now() + GATHER).await;
            }
            let state = self.settled().await;
            if state == ViewState::Pending || state == self.yielded {
                continue;
            }
            self.yielded = state;
            let has_backends = matches!(self.yielded, ViewState::Backends(_));
            self.history.yielded(has_backends);
            match &self.yielded {
                ViewState::Pending => {}
                ViewState::Backends(snapshot) => return Ok(snapshot.clone()),
                ViewState::NoBackends(reason) => {
                    return Err(error::no_backends(&self.what, reason));
                }
            }
        }
    }

    /// The state, once it lasts. The last item again, if a failure comes first.
    async fn settled(&mut self) -> ViewState {
        let mut state = self.view.state();
        let had_backends = match self.yielded {
            ViewState::Pending => self.history.had_backends(),
            ViewState::Backends(_) => true,
            ViewState::NoBackends(_) => false,
        };
        if !had_backends {
            return state;
        }
        let over = Instant::now() + SETTLE;
        while matches!(state, ViewState::NoBackends(_))
            && self.failed.is_none()
            && Instant::now() < over
        {
            let next = Instant::now() + GATHER;
            self.gather(next.min(over)).await;
            state = self.view.state();
        }
        if self.failed.is_some() && matches!(state, ViewState::NoBackends(_)) {
            return self.yielded.clone();
        }
        state
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
