//! Close: counts, reports and logs the reason, runs the hooks, and releases the lease and the permits.

use tracing::{debug, error};

use super::Session;
use super::panics::PanicPlace;
use crate::close_reason::CloseReason;
use crate::config::OnRefusal;
use crate::embedder_code::{Panicked, catch};
use crate::failures::FAILURES_TARGET;
use crate::net::unix::ShownClient;
use crate::relay::reset_on_close;
use crate::state::worker::Worker;

impl Session {
    /// Ends the session. `Err` is an end before the relay: by default the client is reset, because a FIN would look like a
    /// complete answer.
    pub(crate) fn close(mut self, end: Result<CloseReason, CloseReason>, worker: &Worker) {
        let counters = &worker.counters;
        // Both run code of the embedder: hooks, and the drop of session data.
        if let Err(panicked) = catch("Session", || self.report_end(end, worker)) {
            self.end_by_panic(&panicked, worker);
        }
        if let Err(panicked) = catch("Session data", || drop(self)) {
            counters.panics.increment();
            error!(target: FAILURES_TARGET, error = %panicked, "Code of the embedder panicked");
        }
        // Last of all: it says that nothing is held any more.
        let (Ok(reason) | Err(reason)) = end;
        counters.ended(reason).increment();
    }

    fn report_end(&mut self, end: Result<CloseReason, CloseReason>, worker: &Worker) {
        // With bytes unread the kernel resets as well. It does not know the bytes that a preread has read.
        let is_refused = end.is_err_and(|reason| reason != CloseReason::Responded);
        if is_refused && (self.route().on_refusal == OnRefusal::Reset || self.has_unsent) {
            reset_on_close(&self.client);
        }
        let (Ok(reason) | Err(reason)) = end;
        self.count_end(reason, worker.counters.worker);
        self.note_refusal(reason);
        debug!(
            listener = %self.permit.listener.endpoint(),
            client.addr = %ShownClient(self.client_addr),
            backend.addr = self.lease.as_ref().map(|lease| tracing::field::display(lease.endpoint())),
            ?reason,
            "Session ended"
        );
        self.summarize(reason);
    }

    /// Counts the end by listener, upstream and backend, if the proxy does.
    fn count_end(&self, reason: CloseReason, worker: usize) {
        let Some(listener) = self.permit.accepting_listener().counters() else {
            return;
        };
        if let Some(details) = &self.details
            && let Some(counted) = details.counted()
        {
            counted.ended(reason, details.no_backend(), self.accepted_at.elapsed());
        }
        listener.ended(worker, reason);
    }
}

impl Session {
    /// Counts and reports a panic. Returns that for the end of the session.
    pub(super) fn end_by_panic(&self, panicked: &Panicked, worker: &Worker) -> CloseReason {
        let place = PanicPlace {
            listener: &self.permit.listener,
            upstream: self.upstream(),
            client: self.client_addr,
            counters: &worker.counters,
        };
        place.note(panicked)
    }
}
