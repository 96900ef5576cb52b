//! Applying the sets of the sources. One of many backends is applied on another thread, as sessions of this one would wait.

use std::convert::Infallible;
use std::panic::resume_unwind;
use std::sync::Mutex;
use std::thread;

use lb_core::Snapshot;
use tokio::runtime::Handle;
use tokio::sync::{self, Notify, oneshot};
use tracing::warn;

use crate::upstream::{Upstream, lock};

/// From how many backends on a set takes a thread of its own. Fewer take less than a millisecond.
pub(super) const MANY: usize = 1000;

/// Applies sets in their order. A set that comes while another one is applied is replaced by later ones.
#[derive(Debug, Default)]
pub(super) struct Applier {
    next: Mutex<Option<Snapshot>>,
    added: Notify,
    /// The end of the thread that applies a set. Locked while [`run`](Self::run) has something to do.
    running: sync::Mutex<Option<oneshot::Receiver<thread::Result<()>>>>,
}

impl Applier {
    /// Applies `set` at once if it is small and no other one is being applied. [`run`](Self::run) applies any other.
    pub(super) fn put(&self, upstream: &Upstream, set: Snapshot) {
        let is_idle = self.running.try_lock().is_ok_and(|end| end.is_none());
        if is_idle && set.len() < MANY {
            // An older one that waits must not come behind it.
            lock(&self.next).take();
            upstream.apply(set);
            return;
        }
        *lock(&self.next) = Some(set);
        self.added.notify_one();
    }

    /// Applies what [`put`](Self::put) leaves. If it is dropped, [`finish`](Self::finish) continues.
    pub(super) async fn run(&self, upstream: &Upstream) -> Infallible {
        loop {
            self.added.notified().await;
            self.finish(upstream).await;
        }
    }

    /// Completes when all sets that were put are applied. Cancel-safe.
    pub(super) async fn finish(&self, upstream: &Upstream) {
        let mut running = self.running.lock().await;
        loop {
            if let Some(end) = &mut *running {
                let ended = end.await;
                *running = None;
                if let Ok(Err(panic)) = ended {
                    resume_unwind(panic);
                }
            }
            let Some(set) = lock(&self.next).take() else {
                return;
            };
            if set.len() < MANY {
                upstream.apply(set);
            } else {
                *running = start(upstream, set);
            }
        }
    }
}

/// Applies `set` on a thread, and returns its end. `None` if it is applied already, because no thread could be started.
///
/// A thread of the runtime's pool would stay for some seconds, and an idle thread makes system calls of the others slower.
fn start(upstream: &Upstream, set: Snapshot) -> Option<oneshot::Receiver<thread::Result<()>>> {
    let (ended, end) = oneshot::channel();
    let (there, runtime, taken) = (upstream.clone(), Handle::current(), set.clone());
    let apply = move || {
        let _inside = runtime.enter();
        let applied = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| there.apply(taken)));
        // Without a receiver the runtime has ended.
        let _ = ended.send(applied);
    };
    let thread = thread::Builder::new().name("lb-membership".to_owned());
    match thread.spawn(apply) {
        Ok(_) => Some(end),
        Err(error) => {
            warn!(upstream = upstream.name(), %error, "Membership applied without a thread");
            upstream.apply(set);
            None
        }
    }
}
