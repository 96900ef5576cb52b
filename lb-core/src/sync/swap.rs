//! arc-swap's swap with a pointer that loom sees.
//!
//! The contract of arc-swap that the crate relies on: a load returns the value that was stored last, and synchronises with
//! the store, but not the store with the load; and once a swap has returned, each guard that still reads the old value is
//! counted in the value's strong count.

use std::ops::Deref;
use std::sync;

use loom::sync::atomic::AtomicUsize;
use loom::sync::atomic::Ordering::{AcqRel, Acquire};

/// A swap of `R`, which is an `Arc` or an `Option` of one.
#[derive(Debug)]
pub(crate) struct ArcSwapAny<R> {
    /// How many values there were before the current one. Stands for the pointer: a thread that has changed or read it
    /// runs alone until loom's next operation.
    version: AtomicUsize,
    #[expect(clippy::disallowed_types, reason = "never contended")]
    current: sync::Mutex<sync::Arc<R>>,
}

#[expect(clippy::disallowed_types, reason = "never contended")]
impl<R: Clone> ArcSwapAny<R> {
    pub(crate) fn new(current: R) -> Self {
        Self {
            version: AtomicUsize::new(0),
            current: sync::Mutex::new(sync::Arc::new(current)),
        }
    }

    /// Reads by an addition, which sees the latest version, where loom may let a load see an older one.
    pub(crate) fn load(&self) -> Guard<R> {
        self.version.fetch_add(0, Acquire);
        Guard(sync::Arc::clone(&self.lock()))
    }

    pub(crate) fn swap(&self, new: R) -> R {
        let mut old = sync::Arc::new(new);
        self.version.fetch_add(1, AcqRel);
        std::mem::swap(&mut *self.lock(), &mut old);
        sync::Arc::try_unwrap(old).unwrap_or_else(|read| (*read).clone())
    }

    pub(crate) fn store(&self, new: R) {
        drop(self.swap(new));
    }

    fn lock(&self) -> sync::MutexGuard<'_, sync::Arc<R>> {
        self.current
            .lock()
            .expect("no thread panics while it has the lock")
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Guard<R>(sync::Arc<R>);

impl<R> Deref for Guard<R> {
    type Target = R;

    fn deref(&self) -> &R {
        &self.0
    }
}
