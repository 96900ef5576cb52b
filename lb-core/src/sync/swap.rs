//! arc-swap's swap with a pointer that loom sees.
//!
//! The contract of arc-swap that the crate relies on: a load returns the value that was stored last, and synchronises with
//! the store, but not the store with the load; and once a swap has returned, each guard that still reads the old value is
//! counted in the value's strong count.

use std::ops::Deref;
use std::sync;

use loom::sync::atomic::AtomicUsize;
use loom::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};

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

    pub(crate) fn load(&self) -> Guard<R> {
        self.versioned().1
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

    /// An addition, because it reads the latest version, where loom may let a load read an older one.
    fn versioned(&self) -> (usize, Guard<R>) {
        let version = self.version.fetch_add(0, Acquire);
        (version, Guard(sync::Arc::clone(&self.lock())))
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

#[derive(Clone, Debug)]
pub(crate) struct Cache<A, R> {
    swap: A,
    version: usize,
    seen: R,
}

impl<R: Clone, A: Deref<Target = ArcSwapAny<R>>> Cache<A, R> {
    pub(crate) fn new(swap: A) -> Self {
        let (version, seen) = swap.versioned();
        Self {
            swap,
            version,
            seen: R::clone(&seen),
        }
    }

    /// Reads the pointer by a relaxed load, as arc-swap.
    pub(crate) fn load(&mut self) -> &R {
        if self.swap.version.load(Relaxed) != self.version {
            let (version, seen) = self.swap.versioned();
            (self.version, self.seen) = (version, R::clone(&seen));
        }
        &self.seen
    }
}
