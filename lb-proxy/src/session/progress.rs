//! Interim reports of a session that relays.

use std::sync::Arc;
use std::time::Duration;

use lb_core::Backend;
use tokio::time::{Instant, sleep};

use super::details::Connected;
use crate::close_reason::CloseReason;
use crate::connection::Connection;
use crate::hooks::{AttemptReport, Progress};
use crate::metrics::Direction;
use crate::session_id::SessionId;
use crate::state::listener::ListenerState;
use crate::upstream::Upstream;

/// The shortest time between two reports of a session.
const MIN_INTERVAL: Duration = Duration::from_millis(100);

/// Reports the progress of a session to the hooks. Owns what it reports, because the relay borrows the session.
#[derive(Debug)]
pub(super) struct ProgressReports {
    pub(super) id: SessionId,
    /// At least 100 ms are used.
    pub(super) interval: Duration,
    pub(super) listener: Arc<ListenerState>,
    pub(super) connection: Connection,
    pub(super) upstream: Upstream,
    pub(super) backend: Arc<Backend>,
    pub(super) attempts: Vec<AttemptReport>,
    pub(super) connected: Connected,
    pub(super) accepted_at: Instant,
}

impl ProgressReports {
    /// Reports at the interval. Never completes.
    pub(super) async fn run(mut self) -> CloseReason {
        let interval = self.interval.max(MIN_INTERVAL);
        loop {
            sleep(interval).await;
            self.report();
        }
    }

    fn report(&mut self) {
        let Some(hooks) = self.listener.route.observer() else {
            return;
        };
        let now = Instant::now();
        if let Some(last) = self.attempts.last_mut() {
            self.connected.complete(last, now);
        }
        let traffic = &self.connected.traffic;
        let progress = Progress {
            id: self.id,
            upstream: &self.upstream,
            backend: &self.backend,
            attempts: &self.attempts,
            elapsed: now.saturating_duration_since(self.accepted_at),
            connected_after: self.connected.after,
            bytes_from_client: traffic
                .record(Direction::ToBackend)
                .map_or(0, |record| record.read()),
            bytes_to_backend: traffic.to_backend.get(),
            bytes_to_client: traffic.to_client.get(),
        };
        hooks.progress(&self.connection, &progress);
    }
}
