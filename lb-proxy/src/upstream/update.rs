//! Updates of the membership by the task that follows the sources: short ones at once, long ones on a thread of their own.

use std::convert::Infallible;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread;

use lb_core::{BalancerConfig, Policy, Snapshot};
use tokio::runtime::Handle;
use tokio::sync::{Notify, oneshot};
use tracing::{dispatcher, warn};

use super::{Upstream, lock};

/// From this number of backends on an update counts as long: it takes 0.1 ms and more.
const LONG: usize = 512;

/// The set that the sources reported last, from its report until it is applied.
///
/// An update takes it under the lock of the membership. So sets are applied in the order of their reports, and one that
/// another replaced meanwhile is not applied at all.
#[derive(Debug, Default)]
pub(super) struct Reported {
    latest: Mutex<Option<Snapshot>>,
    /// Notified of a set that is not applied at once.
    delayed: Notify,
    /// How many threads apply an update.
    threads: AtomicUsize,
}

/// What an update changes.
#[derive(Clone, Debug)]
pub(super) enum Update {
    /// The set becomes the one that the sources reported last.
    Reported,
    /// Another description of the upstream.
    Balancer(BalancerConfig, Arc<dyn Policy>),
}

impl Upstream {
    /// Takes what the sources report. Applies it at once if that is short, else [`apply_delayed`](Self::apply_delayed) does.
    pub(super) fn report(&self, discovered: Snapshot) {
        let reported = &self.shared().reported;
        // A short update waits for the lock while a long one runs, so it leaves its set to that one.
        let is_long = self.is_long(discovered.len()) || reported.threads.load(Relaxed) > 0;
        *lock(&reported.latest) = Some(discovered);
        if is_long {
            reported.delayed.notify_one();
        } else {
            self.run_update(Update::Reported);
        }
    }

    /// Applies the sets that were not applied at once, one after another. Where it is dropped, the update in progress
    /// continues.
    pub(super) async fn apply_delayed(&self) -> Infallible {
        let reported = &self.shared().reported;
        loop {
            reported.delayed.notified().await;
            let next = || lock(&reported.latest).as_ref().map(Snapshot::len);
            while let Some(backends) = next() {
                self.update(Update::Reported, backends).await;
            }
        }
    }

    /// Updates the membership, which has `backends` backends afterwards.
    ///
    /// A long update runs on a thread of its own, which ends with it: an idle thread would slow the system calls of the
    /// sessions, and a runtime keeps its blocking threads for some seconds. Where no thread can be started, the update runs
    /// here.
    pub(super) async fn update(&self, update: Update, backends: usize) {
        if !self.is_long(backends) {
            return self.run_update(update);
        }
        let (end, ended) = oneshot::channel::<()>();
        let started = thread::Builder::new().name("lb-update".to_owned()).spawn({
            let (upstream, update) = (self.clone(), update.clone());
            let running = RunningThread::new(self);
            let runtime = Handle::current();
            let subscriber = dispatcher::get_default(Clone::clone);
            move || {
                let (_end, _running) = (end, running);
                // For the clock of the runtime.
                let _entered = runtime.enter();
                dispatcher::with_default(&subscriber, || upstream.run_update(update));
            }
        });
        match started {
            Ok(thread) => {
                // An error in any case: nothing is sent.
                let _ = ended.await;
                // It is about to end.
                if let Err(panic) = thread.join() {
                    resume_unwind(panic);
                }
            }
            Err(error) => {
                warn!(upstream = self.name(), %error, "Update delays sessions: no thread can be started");
                self.run_update(update);
            }
        }
    }

    fn run_update(&self, update: Update) {
        match update {
            Update::Reported => self.apply_reported(),
            Update::Balancer(config, policy) => {
                let updater = &mut lock(&self.shared().membership).updater;
                updater.set_config(config);
                updater.set_policy(policy);
            }
        }
    }

    fn apply_reported(&self) {
        let mut membership = lock(&self.shared().membership);
        let latest = lock(&self.shared().reported.latest).take();
        if let Some(discovered) = latest {
            self.apply(&mut membership, discovered);
            drop(membership);
            self.serve_queue();
        }
    }

    /// Whether an update from the present set to one of `backends` is long.
    fn is_long(&self, backends: usize) -> bool {
        backends.max(self.backends().snapshot().len()) >= LONG
    }
}

/// Counts a thread while it applies an update.
struct RunningThread(Upstream);

impl RunningThread {
    fn new(upstream: &Upstream) -> Self {
        upstream.shared().reported.threads.fetch_add(1, Relaxed);
        Self(upstream.clone())
    }
}

impl Drop for RunningThread {
    fn drop(&mut self) {
        self.0.shared().reported.threads.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests;
