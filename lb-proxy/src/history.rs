//! The last entries of something that happens again and again, for status pages.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
#[cfg(feature = "serde")]
use std::time::{Duration, SystemTime};

/// The last `KEPT` entries, the oldest first.
#[derive(Debug)]
pub(crate) struct History<T, const KEPT: usize>(Mutex<VecDeque<T>>);

impl<T, const KEPT: usize> Default for History<T, KEPT> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Clone, const KEPT: usize> History<T, KEPT> {
    /// Adds an entry, which replaces the oldest one if there are `KEPT` already.
    pub(crate) fn add(&self, entry: T) {
        let mut kept = self.lock();
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back(entry);
    }

    pub(crate) fn list(&self) -> Vec<T> {
        self.lock().iter().cloned().collect()
    }

    /// A panic under the lock leaves the entries consistent.
    fn lock(&self) -> MutexGuard<'_, VecDeque<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes when an entry was added, in seconds since 1970.
#[cfg(feature = "serde")]
pub(crate) fn serialize_time<S: serde::Serializer>(
    at: &SystemTime,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let since = at.duration_since(SystemTime::UNIX_EPOCH);
    lb_core::serde_form::seconds(&since.unwrap_or(Duration::ZERO), serializer)
}
