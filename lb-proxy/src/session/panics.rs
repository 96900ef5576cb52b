//! Panics of the embedder's code in a session.

use std::net::SocketAddr;

use crate::close_reason::CloseReason;
use crate::embedder_code::Panicked;
use crate::failures::kind::{Failure, FailureEvent};
use crate::metrics::Counters;
use crate::state::listener::ListenerState;
use crate::upstream::Upstream;

/// Where a panic happened.
pub(super) struct PanicPlace<'a> {
    pub(super) listener: &'a ListenerState,
    pub(super) upstream: &'a Upstream,
    pub(super) client: SocketAddr,
    pub(super) counters: &'a Counters,
}

impl PanicPlace<'_> {
    /// Counts and reports a panic. Returns that for the end of the session.
    pub(super) fn note(&self, panicked: &Panicked) -> CloseReason {
        self.counters.panics.increment();
        self.upstream.note_panic_of_picker(panicked);
        let event = FailureEvent {
            listener: Some(self.listener.endpoint()),
            upstream: Some(self.upstream.shared_name()),
            client: Some(self.client),
            error: Some(panicked),
            ..FailureEvent::default()
        };
        let failures = &self.listener.trackers().failures;
        failures.record(Failure::Panic(panicked.code), &event);
        CloseReason::Panicked
    }
}
