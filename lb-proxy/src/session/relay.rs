//! Relay: bytes both ways, until the end.

use std::future::Future;
use std::pin::Pin;

use super::Session;
use super::details::Connected;
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
        let own = details
            .as_ref()
            .and_then(|details| details.connected.as_ref());
        let is_recording = own.is_some_and(Connected::is_recording);
        let needs_totals = permit.listener.route.hooks.is_some() && !is_recording;
        let traffic = TrafficCounters {
            to_backend: own.map_or(&counters.bytes_to_backends, |own| &own.to_backend),
            to_client: own.map_or(&counters.bytes_to_clients, |own| &own.to_client),
            totals: needs_totals.then_some(totals),
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
