//! Relay: bytes both ways, until the end.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use tokio::time::Instant;

use super::Session;
use super::cut::OtherCuts;
use super::details::Details;
use super::progress::ProgressReports;
use crate::bandwidth::Bandwidth;
use crate::close_reason::CloseReason;
use crate::embedder_code::named;
use crate::lazy_timer::LazyTimer;
use crate::metrics::RelayTraffic;
use crate::net::stream::Stream;
use crate::relay::{
    BytesAhead, CutReason, CutSignals, RelayEnd, RelaySettings, RelayTotals, TrafficCounters, relay,
};
use crate::state::bandwidth_setting::BandwidthSetting;
use crate::state::route::Route;
use crate::state::worker::Worker;
use crate::upstream::Lease;

/// The parts of a session that its relay borrows.
pub(super) struct Relaying<'a> {
    pub(super) client: &'a Stream,
    details: Option<&'a Details>,
    lease: &'a mut Option<Lease>,
    route: &'a Route,
    totals: &'a RelayTotals,
    bandwidth: Bandwidth,
    begin: Instant,
}

impl<'a> Relaying<'a> {
    /// Relays until both sides end, a time-out ends the session, or `cut` completes.
    pub(super) fn relay(
        self,
        backend: &'a Stream,
        ahead: BytesAhead,
        worker: &'a Worker,
        timer: Pin<&'a mut LazyTimer>,
        cut: Pin<&'a mut impl Future<Output = CloseReason>>,
    ) -> impl Future<Output = CloseReason> {
        let Self {
            client,
            details,
            lease,
            route,
            totals,
            bandwidth,
            begin,
        } = self;
        let counters = &worker.counters;
        let own = details.and_then(|details| details.traffic.as_deref());
        let live = details.and_then(|details| details.live());
        let is_recording = own.is_some_and(RelayTraffic::is_recording);
        let needs_totals = route.hooks.is_some() && !is_recording;
        let traffic = TrafficCounters {
            bytes: own.unwrap_or(&counters.relayed),
            totals: needs_totals.then_some(totals),
        };
        let settings = RelaySettings {
            timeouts: &route.timeouts,
            splice: route.splice,
            half_close: route.half_close,
            bandwidth,
            sets_nodelay: route.backend_options.nodelay && !backend.is_unix(),
            begin,
        };
        let cuts = CutSignals {
            cut,
            at_once: Some(&worker.abort),
            request: live.map(|live| live.close_request()),
            timer,
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
    /// The parts that its relay borrows. The relay begins at `begin`.
    pub(super) fn relaying(&mut self, begin: Instant) -> Relaying<'_> {
        let bandwidth = self.bandwidth();
        let Self {
            client,
            details,
            lease,
            permit,
            totals,
            ..
        } = self;
        Relaying {
            client,
            details: details.as_deref(),
            lease,
            route: &permit.listener.route,
            totals,
            bandwidth,
            begin,
        }
    }
}

impl Session {
    /// What cuts the session off besides a shutdown, and what reports it meanwhile. `None` if there is nothing.
    pub(super) fn other_cuts(&self, worker: &Worker) -> Option<Box<OtherCuts>> {
        let lease = self.lease.as_ref();
        let cuts = OtherCuts {
            backend: lease.and_then(|lease| self.upstream().watch_loss(lease)),
            listener: self.permit.listener.removed(),
            reports: self.progress_reports(worker),
        };
        cuts.boxed()
    }

    /// `None` if the hooks get no interim reports.
    fn progress_reports(&self, worker: &Worker) -> Option<ProgressReports> {
        let interval = self.route().report_interval?;
        self.route().observer()?;
        let details = self.details.as_deref()?;
        Some(ProgressReports {
            id: self.id,
            interval,
            listener: Arc::clone(&self.permit.listener),
            connection: self.connection(),
            upstream: self.upstream().clone(),
            backend: self.lease.as_ref()?.backend(),
            attempts: details.attempts.clone(),
            connected: details.connected.clone()?,
            accepted_at: self.accepted_at,
            counters: Arc::clone(&worker.counters),
        })
    }

    /// How many bytes a second the session may relay.
    fn bandwidth(&self) -> Bandwidth {
        match &self.route().bandwidth {
            None => Bandwidth::unlimited(),
            Some(BandwidthSetting::Fixed(bandwidth)) => *bandwidth,
            Some(BandwidthSetting::Function(function)) => {
                let connection = self.connection();
                named("Listener::bandwidth_of", || function(&connection))
            }
        }
    }
}

impl CutReason for CloseReason {
    fn has_lost_client(&self) -> bool {
        *self == Self::AddressLost
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
