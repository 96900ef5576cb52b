//! Following the sources of an upstream.

use std::sync::Arc;

use lb_core::{Delta, Snapshot};
use tokio::select;
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::{Follower, Upstream, lock};

impl Upstream {
    /// Completes when the first membership is known.
    pub(crate) async fn ready(&self) {
        // The sender lives as long as `self`.
        let _ = self
            .shared()
            .ready
            .subscribe()
            .wait_for(|&ready| ready)
            .await;
    }

    /// Follows the sources until cancelled. One task at a time does it; when it ends, the next one continues.
    pub(crate) async fn follow(self, cancel: CancellationToken) {
        let shared = self.shared();
        let mut follower = select! {
            follower = shared.follower.lock() => follower,
            () = cancel.cancelled() => return,
        };
        // `None` only after another upstream has adopted this one; that one is followed itself.
        let Some(Follower { updater, plan }) = &mut *follower else {
            return;
        };
        loop {
            if let Some(mut next) = lock(&shared.plan).take() {
                next.driver.resume(&plan.driver);
                updater.set_config(next.balancer.clone());
                updater.set_policy(Arc::clone(&next.policy));
                *plan = next;
            }
            let apply = |snapshot: Snapshot| {
                let delta = updater.apply(&snapshot, self.now());
                shared.drain.update(&delta, &snapshot);
                self.log(&delta, snapshot.len());
                shared.ready.send_replace(true);
                self.serve_queue();
            };
            select! {
                biased;
                () = shared.planned.notified() => {}
                () = plan.driver.run(apply, cancel.clone()) => return,
            }
        }
    }

    fn log(&self, delta: &Delta, backends: usize) {
        let first = !*self.shared().ready.borrow();
        if first || !delta.is_empty() {
            info!(
                upstream = self.name(),
                backends,
                added = ?delta.added,
                changed = ?delta.changed,
                removed = ?delta.removed,
                "Membership changed"
            );
        }
    }
}
