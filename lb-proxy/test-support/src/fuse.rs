//! A call that panics.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

/// Panics at one call of one method, or from that call on.
#[derive(Debug)]
pub struct Fuse {
    method: &'static str,
    call: usize,
    calls: AtomicUsize,
    is_armed: AtomicBool,
    lasts: AtomicBool,
}

impl Fuse {
    /// Panics at call number `call` of `method`, counted from 1 after [`arm`](Self::arm).
    pub fn new(method: &'static str, call: usize) -> Arc<Self> {
        Arc::new(Self {
            method,
            call,
            calls: AtomicUsize::new(0),
            is_armed: AtomicBool::new(false),
            lasts: AtomicBool::new(false),
        })
    }

    /// The same, armed already.
    pub fn armed(method: &'static str, call: usize) -> Arc<Self> {
        let fuse = Self::new(method, call);
        fuse.arm();
        fuse
    }

    /// The same, and panics at every further call until it is [mended](Self::mend).
    pub fn lasting(method: &'static str, call: usize) -> Arc<Self> {
        let fuse = Self::armed(method, call);
        fuse.lasts.store(true, SeqCst);
        fuse
    }

    /// Panics no more.
    pub fn mend(&self) {
        self.lasts.store(false, SeqCst);
        self.is_armed.store(false, SeqCst);
    }

    /// Counts calls from now on.
    pub fn arm(&self) {
        self.is_armed.store(true, SeqCst);
    }

    /// Whether it has panicked.
    pub fn has_blown(&self) -> bool {
        self.calls.load(SeqCst) >= self.call
    }

    /// A call of `method`.
    pub fn burn(&self, method: &'static str) {
        if self.method != method || !self.is_armed.load(SeqCst) {
            return;
        }
        let call = self.calls.fetch_add(1, SeqCst) + 1;
        if call == self.call || call > self.call && self.lasts.load(SeqCst) {
            panic!("{method} panics as the test wants");
        }
    }
}
