//! Following the sources of an upstream.

use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use lb_core::{Backend, Delta, Endpoint, Snapshot};
use tokio::select;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::checks::resources::ProbeResources;
use super::checks::tasks::CheckTasks;
use super::{Upstream, lock};
use crate::embedder_code::catch_future;
use crate::restart_pauses::RestartPauses;

/// How long another policy waits for the set of the sources, so that it is compiled once. Sources that need no network report
/// at once.
const SOON: Duration = Duration::from_millis(100);

/// How many backends a line of the log names of each kind. A line about 20000 took the thread milliseconds.
const NAMED: usize = 64;

impl Upstream {
    /// Completes when the first membership is known, which takes a server that is bound. Cancel-safe.
    pub async fn ready(&self) {
        // The sender lives as long as `self`.
        let _ = self
            .shared()
            .ready
            .subscribe()
            .wait_for(|&ready| ready)
            .await;
    }

    /// Runs [`follow`](Self::follow) until it is cancelled. After a panic it begins again after a pause: an upstream whose
    /// task ended would keep its backends for ever.
    pub(crate) async fn follow_supervised(
        self,
        resources: ProbeResources,
        cancel: CancellationToken,
    ) {
        let mut pauses = RestartPauses::default();
        loop {
            let begin = Instant::now();
            let following = self.clone().follow(resources.clone(), cancel.clone());
            let Err(panicked) = catch_future(|| "Upstream", following).await else {
                return;
            };
            let pause = pauses.next(begin.elapsed());
            self.note_panic_of_task(&panicked, pause);
            select! {
                () = sleep(pause) => {}
                () = cancel.cancelled() => return,
            }
        }
    }

    /// Follows the sources until cancelled, and runs the checks, which use `resources`. One task at a time does it;
    /// when it ends, the next one continues.
    pub(crate) async fn follow(self, resources: ProbeResources, cancel: CancellationToken) {
        let shared = self.shared();
        let mut follower = select! {
            follower = shared.follower.lock() => follower,
            () = cancel.cancelled() => return,
        };
        // `None` only after another upstream has adopted this one; that one is followed itself.
        let Some(plan) = &mut *follower else {
            return;
        };
        let mut checks = CheckTasks::new(resources);
        checks.set(&self, &plan.checks);
        loop {
            if let Some(mut next) = lock(&shared.plan).take() {
                next.driver.resume(&plan.driver);
                let balancing = (Arc::clone(&next.policy), next.balancer.clone());
                lock(&shared.membership).pending = Some(balancing);
                *plan = next;
                checks.set(&self, &plan.checks);
            }
            select! {
                biased;
                () = shared.planned.notified() => {}
                never = self.settle() => match never {},
                () = plan.driver.run(|snapshot| self.apply(snapshot), cancel.clone()) => return,
            }
        }
    }

    /// Applies what a new plan changes besides the set, if its sources report none soon. Then applies again, after a
    /// growing pause, what the policy panicked on.
    async fn settle(&self) -> Infallible {
        sleep(SOON).await;
        self.apply_pending();
        let mut pauses = RestartPauses::default();
        let mut last = Instant::now();
        loop {
            self.shared().unpublished.notified().await;
            sleep(pauses.next(last.elapsed())).await;
            last = Instant::now();
            self.apply_pending();
        }
    }

    pub(super) fn log(&self, delta: &Delta, now: &Snapshot, before: &Snapshot) {
        let first = !*self.shared().ready.borrow();
        if first || !delta.is_empty() {
            let was = |addr: &SocketAddr| before.find(*addr).map(Backend::endpoint);
            let is = |addr: &SocketAddr| now.find(*addr).map(Backend::endpoint);
            info!(
                upstream = self.name(),
                backends = now.len(),
                added = ?endpoints(&delta.added, is),
                changed = ?endpoints(&delta.changed, is),
                removed = ?endpoints(&delta.removed, was),
                "Membership changed"
            );
        }
    }
}

/// What is shown of `addrs`. Only the path of a unix socket has to be looked for.
fn endpoints(
    addrs: &[SocketAddr],
    find: impl Fn(&SocketAddr) -> Option<Endpoint>,
) -> ShownEndpoints {
    let shown = |addr: &SocketAddr| {
        let unix = Endpoint::is_unix_key(*addr).then(|| find(addr));
        unix.flatten().unwrap_or(Endpoint::Tcp(*addr))
    };
    ShownEndpoints {
        named: addrs.iter().take(NAMED).map(shown).collect(),
        more: addrs.len().saturating_sub(NAMED),
    }
}

/// Some endpoints, and how many more there are.
struct ShownEndpoints {
    named: Vec<Endpoint>,
    more: usize,
}

impl fmt::Debug for ShownEndpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut list = f.debug_list();
        list.entries(&self.named);
        if self.more > 0 {
            list.entry(&format_args!("{} more", self.more));
        }
        list.finish()
    }
}

#[cfg(test)]
impl Upstream {
    /// Follows the sources on a task until the token is cancelled. Completes when the first membership is known.
    pub(crate) async fn followed(
        &self,
        resources: ProbeResources,
    ) -> (tokio::task::JoinHandle<()>, CancellationToken) {
        let cancel = CancellationToken::new();
        let follower = tokio::spawn(self.clone().follow(resources, cancel.clone()));
        self.ready().await;
        (follower, cancel)
    }
}

#[cfg(test)]
mod tests;
