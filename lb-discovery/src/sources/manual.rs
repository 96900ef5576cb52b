//! Backends that the program adds and removes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use futures::stream::{self, StreamExt};
use lb_core::{AdminState, Backend, Snapshot, Weight};
use tokio::sync::watch;

use crate::error::DiscoveryError;
use crate::source::{SnapshotStream, Source};

/// A source with a set that the program changes through a [`ManualHandle`].
///
/// ```
/// use lb_core::{Backend, Snapshot, Weight};
/// use lb_discovery::Manual;
///
/// let (_source, handle) = Manual::new(Snapshot::default());
/// let addr = "10.0.0.1:446".parse()?;
/// handle.add(Backend::new(addr));
/// assert!(handle.set_weight(addr, Weight::new(3)));
/// assert!(handle.remove(addr));
/// assert!(handle.snapshot().is_empty());
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[doc(alias = "channel")]
#[doc(alias = "upstream_conf")]
#[derive(Clone, Debug)]
pub struct Manual {
    receiver: watch::Receiver<Snapshot>,
    /// The identity: unique among the manual sources of a process.
    number: u64,
    label: Arc<str>,
}

impl Manual {
    /// Makes a source that yields `initial` at first, and the handle that changes its set. Its label is `manual`.
    pub fn new(initial: Snapshot) -> (Self, ManualHandle) {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let (sender, receiver) = watch::channel(initial);
        let source = Self {
            receiver,
            // Relaxed: only the uniqueness of the numbers counts.
            number: COUNT.fetch_add(1, Ordering::Relaxed),
            label: Arc::from("manual"),
        };
        (source, ManualHandle { sender })
    }

    /// Sets the [label](Source::label). Default: `manual`.
    #[must_use]
    pub fn labelled(mut self, label: impl Into<Arc<str>>) -> Self {
        self.label = label.into();
        self
    }
}

#[async_trait]
impl Source for Manual {
    fn label(&self) -> Arc<str> {
        Arc::clone(&self.label)
    }

    fn identity(&self) -> Arc<str> {
        format!("manual {}", self.number).into()
    }

    async fn watch(&self) -> Result<SnapshotStream, DiscoveryError> {
        let mut receiver = self.receiver.clone();
        receiver.mark_changed(); // the current set is the first item
        let sets = stream::unfold(receiver, |mut receiver| async move {
            receiver.changed().await.ok()?; // the last handle was dropped: the set stays
            let snapshot = receiver.borrow_and_update().clone();
            Some((Ok(snapshot), receiver))
        });
        Ok(sets.chain(stream::pending()).boxed())
    }
}

/// Changes the set of the [`Manual`] source that [`Manual::new`] returned with it.
///
/// Every change is atomic and costs O(n). A watch may yield several changes as one set. A clone is another handle of the
/// same set. After the last one is dropped the source keeps that set.
#[derive(Clone, Debug)]
pub struct ManualHandle {
    sender: watch::Sender<Snapshot>,
}

impl ManualHandle {
    /// Replaces the whole set.
    pub fn set(&self, snapshot: Snapshot) {
        self.update(|_| Some(snapshot));
    }

    /// Adds `backend` at the end, or replaces the one with its address in place.
    pub fn add(&self, backend: Backend) {
        self.update(|old| {
            let known = old.find(backend.addr).is_some();
            let kept = old.iter().map(|b| {
                if b.addr == backend.addr {
                    backend.clone()
                } else {
                    b.clone()
                }
            });
            let new = (!known).then(|| backend.clone());
            Some(kept.chain(new).collect())
        });
    }

    /// Removes the backend at `addr`. Returns false if there is none.
    pub fn remove(&self, addr: SocketAddr) -> bool {
        self.update(|old| {
            old.find(addr)?;
            Some(old.iter().filter(|b| b.addr != addr).cloned().collect())
        })
    }

    /// Changes the weight of the backend at `addr`. Returns false if there is none.
    pub fn set_weight(&self, addr: SocketAddr, weight: Weight) -> bool {
        self.change(addr, |backend| backend.weight(weight))
    }

    /// Drains the backend at `addr`: it takes no new connections, and open ones continue. Returns false if there is none.
    pub fn drain(&self, addr: SocketAddr) -> bool {
        self.change(addr, |backend| backend.admin(AdminState::Drain))
    }

    /// Ends the drain of the backend at `addr`. Returns false if there is none.
    pub fn resume(&self, addr: SocketAddr) -> bool {
        self.change(addr, |backend| backend.admin(AdminState::Ready))
    }

    /// Returns the current set.
    pub fn snapshot(&self) -> Snapshot {
        self.sender.borrow().clone()
    }

    fn change(&self, addr: SocketAddr, change: impl Fn(Backend) -> Backend) -> bool {
        self.update(|old| {
            old.find(addr)?;
            let changed = old.iter().cloned().map(|backend| {
                if backend.addr == addr {
                    change(backend)
                } else {
                    backend
                }
            });
            Some(changed.collect())
        })
    }

    /// Replaces the set by the one that `next` returns, if any. Wakes the watches only if it differs.
    fn update(&self, next: impl FnOnce(&Snapshot) -> Option<Snapshot>) -> bool {
        let mut found = false;
        self.sender.send_if_modified(|current| {
            let Some(new) = next(current) else {
                return false;
            };
            found = true;
            let differs = new != *current;
            *current = new;
            differs
        });
        found
    }
}
