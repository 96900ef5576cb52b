//! Relay: bytes both ways, until the end.

use std::future::Future;
use std::pin::Pin;

use super::Session;
use crate::bandwidth::Bandwidth;
use crate::close_reason::CloseReason;
use crate::net::stream::Stream;
use crate::relay::{BytesAhead, CutSignals, RelayEnd, RelaySettings, TrafficCounters, relay};
use crate::state::bandwidth_setting::BandwidthSetting;
use crate::state::worker::Worker;

impl Session {
    /// Relays until both sides end, a time-out ends the session, or `cut` completes.
    pub(super) fn relay<'a>(
        &'a mut self,
        backend: &'a Stream,
        ahead: BytesAhead,
        worker: &'a Worker,
        cut: Pin<&'a mut impl Future<Output = CloseReason>>,
    ) -> impl Future<Output = CloseReason> {
        let counters = &worker.counters;
        let bandwidth = self.bandwidth();
        let Self {
            client,
            details,
            lease,
            permit,
            totals,
            ..
        } = self;
        let totals = &*totals;
        let observed = details
            .as_ref()
            .and_then(|details| details.connected.as_ref())
            .map(|connected| &*connected.traffic);
        let traffic = match observed {
            Some(own) => TrafficCounters {
                to_backend: &own.to_backend,
                to_client: &own.to_client,
                totals: None,
            },
            None => TrafficCounters {
                to_backend: &counters.bytes_to_backends,
                to_client: &counters.bytes_to_clients,
                totals: permit.listener.route.hooks.is_some().then_some(totals),
            },
        };
        let route = &permit.listener.route;
        let settings = RelaySettings {
            timeouts: &route.timeouts,
            splice: route.splice,
            half_close: route.half_close,
            bandwidth,
        };
        let cuts = CutSignals {
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
}

impl Session {
    /// How many bytes a second the session may relay.
    fn bandwidth(&self) -> Bandwidth {
        match &self.route().bandwidth {
            None => Bandwidth::unlimited(),
            Some(BandwidthSetting::Fixed(bandwidth)) => *bandwidth,
            Some(BandwidthSetting::Function(function)) => function(&self.connection()),
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
