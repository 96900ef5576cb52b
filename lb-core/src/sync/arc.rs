//! std's `Arc` and `Weak` with counts that loom sees.
//!
//! std's own `Arc` and `Weak` hold the memory. The counts change as std's do, in the same order and with the same memory
//! orderings, except for the weak reference that all strong ones share, which std's `weak_count` does not count either.

use std::fmt;
use std::ops::Deref;
use std::sync;

use loom::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use loom::sync::atomic::{AtomicUsize, fence};

#[derive(Debug)]
struct Counts {
    strong: AtomicUsize,
    weak: AtomicUsize,
}

#[expect(unnameable_types, reason = "stands for a type of std")]
pub struct Arc<T> {
    value: sync::Arc<T>,
    counts: sync::Arc<Counts>,
}

impl<T> Arc<T> {
    pub(crate) fn new(value: T) -> Self {
        Self {
            value: sync::Arc::new(value),
            counts: sync::Arc::new(Counts {
                strong: AtomicUsize::new(1),
                weak: AtomicUsize::new(0),
            }),
        }
    }

    pub(crate) fn downgrade(this: &Self) -> Weak<T> {
        this.counts.weak.fetch_add(1, Acquire);
        Weak {
            value: sync::Arc::downgrade(&this.value),
            counts: sync::Arc::clone(&this.counts),
        }
    }

    pub(crate) fn strong_count(this: &Self) -> usize {
        this.counts.strong.load(Relaxed)
    }

    pub(crate) fn as_ptr(this: &Self) -> *const T {
        sync::Arc::as_ptr(&this.value)
    }

    pub(crate) fn ptr_eq(this: &Self, other: &Self) -> bool {
        sync::Arc::ptr_eq(&this.value, &other.value)
    }

    pub(crate) fn weak_count(this: &Self) -> usize {
        this.counts.weak.load(Relaxed)
    }
}

impl<T> Clone for Arc<T> {
    fn clone(&self) -> Self {
        self.counts.strong.fetch_add(1, Relaxed);
        Self {
            value: sync::Arc::clone(&self.value),
            counts: sync::Arc::clone(&self.counts),
        }
    }
}

impl<T> Drop for Arc<T> {
    /// The value is dropped with the last of std's, which is in the last of these.
    fn drop(&mut self) {
        if self.counts.strong.fetch_sub(1, Release) == 1 {
            fence(Acquire);
        }
    }
}

impl<T> Deref for Arc<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: Default> Default for Arc<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T: fmt::Debug> fmt::Debug for Arc<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

pub(crate) struct Weak<T> {
    value: sync::Weak<T>,
    counts: sync::Arc<Counts>,
}

impl<T> Weak<T> {
    pub(crate) fn as_ptr(&self) -> *const T {
        self.value.as_ptr()
    }

    pub(crate) fn upgrade(&self) -> Option<Arc<T>> {
        let one_more = |strong| (strong > 0).then(|| strong + 1);
        let counts = &self.counts;
        counts
            .strong
            .fetch_update(Acquire, Relaxed, one_more)
            .ok()?;
        Some(Arc {
            value: self.value.upgrade()?,
            counts: sync::Arc::clone(counts),
        })
    }
}

impl<T> Clone for Weak<T> {
    fn clone(&self) -> Self {
        self.counts.weak.fetch_add(1, Relaxed);
        Self {
            value: sync::Weak::clone(&self.value),
            counts: sync::Arc::clone(&self.counts),
        }
    }
}

impl<T> Drop for Weak<T> {
    fn drop(&mut self) {
        self.counts.weak.fetch_sub(1, Release);
    }
}

impl<T> fmt::Debug for Weak<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(Weak)")
    }
}
