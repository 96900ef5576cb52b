//! From objects that change to a stream of sets.

use std::time::Duration;

use futures::stream::{self, StreamExt};
use lb_core::Snapshot;
use tokio::time::sleep;

use crate::discovery::SnapshotStream;
use crate::error::DiscoveryError;

/// How long changes are gathered, from the first one on. The set is made of all objects, so this bounds what a storm of
/// changes costs; the driver waits as well, which together is still a fraction of the second that a change may take.
const GATHER: Duration = Duration::from_millis(100);

/// What a source follows, and the set it makes of it.
pub(super) trait View: Send + 'static {
    /// Waits until something changes. Cancelling the wait must lose nothing.
    fn changed(&mut self) -> impl Future<Output = Result<(), DiscoveryError>> + Send;

    /// The set as of now. `None` while not everything is listed yet.
    fn snapshot(&self) -> Result<Option<Snapshot>, DiscoveryError>;
}

/// The sets of `view`: the first as soon as there is one, then one for each burst of changes that made a difference.
pub(super) fn follow<V: View>(view: V) -> SnapshotStream {
    let following = Following {
        view,
        last: None,
        failed: None,
    };
    stream::unfold(Some(following), |following| async {
        let mut following = following?;
        let item = following.next().await;
        let rest = item.is_ok().then_some(following);
        Some((item, rest))
    })
    .boxed()
}

struct Following<V> {
    view: V,
    last: Option<Snapshot>,
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
            if self.last.is_some() {
                self.gather().await;
            }
            let snapshot = self.view.snapshot()?;
            if let Some(snapshot) = snapshot.filter(|new| self.last.as_ref() != Some(new)) {
                self.last = Some(snapshot.clone());
                return Ok(snapshot);
            }
        }
    }

    async fn gather(&mut self) {
        let over = sleep(GATHER);
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
