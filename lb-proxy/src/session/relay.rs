//! Relay: bytes both ways, until the end.

use std::future::Future;
use std::pin::Pin;

use tokio::select;
use tokio_util::sync::CancellationToken;

use super::Session;
use crate::close_reason::CloseReason;
use crate::net::stream::Stream;
use crate::relay::{Ahead, Cuts, RelayEnd, Settings, Traffic, relay};
use crate::state::worker::Worker;
use crate::upstream::drain::Watcher;

impl Session {
    /// Relays until the session ends, or `cut` says that it has to.
    pub(super) fn relay<'a>(
        &'a mut self,
        backend: &'a Stream,
        ahead: Ahead,
        worker: &'a Worker,
        cut: Pin<&'a mut impl Future<Output = CloseReason>>,
    ) -> impl Future<Output = CloseReason> {
        let counters = &worker.counters;
        let Self {
            client,
            details,
            lease,
            permit,
            ..
        } = self;
        let traffic = match details {
            Some(own) => Traffic {
                to_backend: &own.to_backend,
                to_client: &own.to_client,
            },
            None => Traffic {
                to_backend: &counters.bytes_to_backends,
                to_client: &counters.bytes_to_clients,
            },
        };
        let route = &permit.listener.route;
        let settings = Settings {
            timeouts: &route.timeouts,
            splice: route.splice,
            half_close: route.half_close,
        };
        let cuts = Cuts {
            cut,
            at_once: Some(&worker.abort),
            leaving: Some(&worker.stop),
        };
        let left = move || {
            if let Some(lease) = lease {
                lease.end();
            }
        };
        relay(client, backend, settings, ahead, traffic, cuts, left)
    }

    /// What tells of the loss of the backend. `None` if the session does not end then.
    pub(super) fn tie(&self) -> Option<Watcher> {
        self.upstream().tie(self.lease.as_ref()?)
    }
}

/// Completes when the session is cut off.
pub(super) async fn aborted(cut_off: &CancellationToken) -> CloseReason {
    cut_off.cancelled().await;
    CloseReason::Aborted
}

/// Completes when the session is cut off, or its backend is lost.
pub(super) async fn parted(watcher: Watcher, cut_off: &CancellationToken) -> CloseReason {
    select! {
        biased;
        () = cut_off.cancelled() => CloseReason::Aborted,
        reason = watcher.parted() => reason,
    }
}

impl From<RelayEnd> for CloseReason {
    fn from(end: RelayEnd) -> Self {
        match end {
            RelayEnd::BackendReset => Self::BackendReset,
            RelayEnd::ClientReset => Self::ClientReset,
            RelayEnd::Finished => Self::Finished,
            RelayEnd::FirstByteTimeout => Self::FirstByteTimeout,
            RelayEnd::HalfClosedTimeout => Self::HalfClosedTimeout,
            RelayEnd::IdleTimeout => Self::IdleTimeout,
            RelayEnd::MaxAge => Self::MaxAge,
        }
    }
}
