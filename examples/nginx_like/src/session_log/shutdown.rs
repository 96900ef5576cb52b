//! The kind of a shutdown: nginx writes no lines about sessions that SIGTERM cuts off.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

static IS_FAST: AtomicBool = AtomicBool::new(false);

/// Records that the process ends without waiting for its sessions.
pub(crate) fn note_fast() {
    IS_FAST.store(true, Relaxed);
}

/// Whether the process ends without waiting for its sessions.
pub(super) fn is_fast() -> bool {
    IS_FAST.load(Relaxed)
}
