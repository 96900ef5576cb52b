//! Relay: bytes both ways, until the end.

use std::future::Future;

use super::Session;
use crate::close_reason::CloseReason;
use crate::net::stream::Stream;
use crate::relay::{Ahead, Cuts, RelayEnd, Settings, Traffic, relay};
use crate::state::worker::Worker;

impl Session {
    /// Relays until both sides end, a time-out ends the session, or `cut` completes.
    pub(super) async fn relay(
        &mut self,
        backend: &Stream,
        ahead: Ahead,
        worker: &Worker,
        cut: impl Future<Output = CloseReason>,
    ) -> CloseReason {
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
        let left = || {
            if let Some(lease) = lease {
                lease.end();
            }
        };
        match relay(client, backend, settings, ahead, traffic, cuts, left).await {
            Ok(end) => end.into(),
            Err(reason) => reason,
        }
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
