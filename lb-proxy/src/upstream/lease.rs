//! A backend's connection in flight, and whom it goes to next.

use std::net::SocketAddr;
use std::sync::Arc;

use lb_core::{Backend, FailureEffect, Pick, Timestamp};

use super::Upstream;

/// A backend's connection in flight. When it ends, whoever waits in the queue gets it.
#[derive(Debug)]
pub(crate) struct Lease {
    /// `None` only while it is dropped.
    pub(super) pick: Option<Pick>,
    pub(super) queue: Option<Upstream>,
}

impl Lease {
    pub(crate) fn addr(&self) -> SocketAddr {
        self.pick().addr()
    }

    pub(crate) fn backend(&self) -> Arc<Backend> {
        self.pick().backend()
    }

    pub(crate) fn failed(mut self, now: Timestamp) -> FailureEffect {
        let pick = self.pick.take().expect("present until dropped");
        pick.failed(now)
    }

    pub(super) fn pick(&self) -> &Pick {
        self.pick.as_ref().expect("present until dropped")
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        drop(self.pick.take());
        if let Some(upstream) = &self.queue {
            upstream.serve_queue();
        }
    }
}
