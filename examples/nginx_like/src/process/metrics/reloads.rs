//! Counters of the configuration's reloads.

use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// The loads of the configuration since the start of the process.
#[derive(Debug)]
pub(crate) struct LoadCounters(Mutex<Loads>);

/// A copy of a [`LoadCounters`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Loads {
    pub(crate) applied: u64,
    pub(crate) failed: u64,
    /// Whether the last load succeeded; that of the start did.
    pub(crate) is_last_applied: bool,
    /// When the running configuration was applied, in seconds since 1970.
    pub(crate) applied_at: f64,
}

impl LoadCounters {
    /// The record of a process whose first configuration was applied now.
    pub(crate) fn started() -> Self {
        Self(Mutex::new(Loads {
            applied: 0,
            failed: 0,
            is_last_applied: true,
            applied_at: now(),
        }))
    }

    /// Counts a reload.
    pub(crate) fn note(&self, is_applied: bool) {
        let mut loads = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        loads.is_last_applied = is_applied;
        if is_applied {
            loads.applied += 1;
            loads.applied_at = now();
        } else {
            loads.failed += 1;
        }
    }

    pub(crate) fn read(&self) -> Loads {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn now() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs_f64()
}
