//! Backends that the program itself adds and removes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use futures::stream::{self, StreamExt};
use lb_core::{AdminState, Backend, Snapshot, Weight};
use tokio::sync::watch;

use crate::error::DiscoveryError;
use crate::source::{Discovery, SnapshotStream};

/// A set that the returned handle changes and the returned source reports, `initial` at first.
///
/// ```
/// use lb_core::{Backend, Snapshot, Weight};
/// use lb_discovery::channel;
///
/// let (handle, _source) = channel(Snapshot::default());
/// let addr = "10.0.0.1:446".parse()?;
/// handle.add(Backend::new(addr));
/// assert!(handle.set_weight(addr, Weight::new(3)));
/// assert!(handle.remove(addr));
/// assert!(handle.snapshot().is_empty());
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
pub fn channel(initial: Snapshot) -> (ManualHandle, Manual) {
    static CHANNELS: AtomicU64 = AtomicU64::new(0);
    let (sender, receiver) = watch::channel(initial);
    let source = Manual {
        receiver,
        number: CHANNELS.fetch_add(1, Ordering::Relaxed),
        source: Arc::from("manual"),
    };
    (ManualHandle { sender }, source)
}

/// Changes the set of the [`Manual`] source that was made with it.
///
/// Every change is atomic and costs O(n). Changes in quick succession may reach a watch as one. Share the handle in
/// an `Arc`. After it is dropped the source keeps reporting the last set.
#[derive(Debug)]
pub struct ManualHandle {
    sender: watch::Sender<Snapshot>,
}

impl ManualHandle {
    /// Replaces the whole set.
    pub fn set(&self, snapshot: Snapshot) {
        self.update(|_| Some(snapshot));
    }

    /// Adds `backend` at the end, or in the place of the one with its address.
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

    /// Removes the backend at `addr`. False if there is none.
    pub fn remove(&self, addr: SocketAddr) -> bool {
        self.update(|old| {
            old.find(addr)?;
            Some(old.iter().filter(|b| b.addr != addr).cloned().collect())
        })
    }

    /// Changes the weight of the backend at `addr`. False if there is none.
    pub fn set_weight(&self, addr: SocketAddr, weight: Weight) -> bool {
        self.change(addr, |backend| backend.with_weight(weight))
    }

    /// Takes the backend at `addr` out of use for new connections; those that exist live on. False if there is
    /// none.
    pub fn drain(&self, addr: SocketAddr) -> bool {
        self.change(addr, |backend| backend.with_admin(AdminState::Drain))
    }

    /// Puts a drained backend back into use. False if there is none at `addr`.
    pub fn resume(&self, addr: SocketAddr) -> bool {
        self.change(addr, |backend| backend.with_admin(AdminState::Ready))
    }

    /// The set as it is now.
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

    /// Replaces the set by what `next` makes of it, if anything. Watches wake only if that differs.
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

/// The source that a [`ManualHandle`] feeds; made by [`channel`].
#[derive(Clone, Debug)]
pub struct Manual {
    receiver: watch::Receiver<Snapshot>,
    /// Tells the channels of a process apart.
    number: u64,
    source: Arc<str>,
}

impl Manual {
    /// Sets the [label](Discovery::source). Default: `manual`.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Arc<str>>) -> Self {
        self.source = source.into();
        self
    }
}

#[async_trait]
impl Discovery for Manual {
    fn source(&self) -> Arc<str> {
        Arc::clone(&self.source)
    }

    fn identity(&self) -> Arc<str> {
        format!("manual {}", self.number).into()
    }

    async fn watch(&self) -> Result<SnapshotStream, DiscoveryError> {
        let mut receiver = self.receiver.clone();
        receiver.mark_changed(); // the current set is the first item
        let sets = stream::unfold(receiver, |mut receiver| async move {
            receiver.changed().await.ok()?; // the handle is gone: nothing will change any more
            let snapshot = receiver.borrow_and_update().clone();
            Some((Ok(snapshot), receiver))
        });
        Ok(sets.chain(stream::pending()).boxed())
    }
}
