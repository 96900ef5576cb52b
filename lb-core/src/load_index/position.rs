//! The position of a backend in a load index, and its entry there.

use super::index::LoadIndex;
use crate::sync::{Arc, Weak};

/// The position of a backend in a load index. The backend's state stores it, so that its leases find the index.
#[derive(Debug)]
pub(crate) struct Position<S> {
    index: Weak<LoadIndex<S>>,
    at: u32,
}

impl<S> Position<S> {
    /// Entry number `at` of `index`.
    pub(crate) fn new(index: &Arc<LoadIndex<S>>, at: u32) -> Self {
        Self {
            index: Arc::downgrade(index),
            at,
        }
    }

    /// The entry, if the index still exists. Costs two atomic additions.
    pub(crate) fn entry(&self) -> Option<Entry<S>> {
        let index = self.index.upgrade()?;
        let at = self.at as usize;
        (at < index.len()).then_some(Entry { index, at })
    }

    /// Whether it is a position in `index`.
    pub(crate) fn is_in(&self, index: &Arc<LoadIndex<S>>) -> bool {
        self.index.as_ptr() == Arc::as_ptr(index)
    }

    /// Updates the load in `index`, which it is a position of.
    pub(crate) fn update(&self, index: &LoadIndex<S>) {
        index.update(self.at as usize);
    }
}

/// A backend's entry in a load index, which it keeps alive.
#[derive(Debug)]
pub(crate) struct Entry<S> {
    index: Arc<LoadIndex<S>>,
    at: usize,
}

impl<S> Entry<S> {
    /// The state of the backend.
    pub(crate) fn state(&self) -> &S {
        self.index.state(self.at)
    }

    pub(crate) const fn index(&self) -> &Arc<LoadIndex<S>> {
        &self.index
    }

    /// Updates the load.
    pub(crate) fn update(&self) {
        self.index.update(self.at);
    }
}
