//! The checks of an upstream, as its handles show them.

use tokio::sync::watch;

use super::list::{CheckList, max_concurrent, most_probes};
use crate::health::{CheckSettings, CheckStatus, ProbeHeader};
use crate::net::handshake::IdleSockets;
use crate::proxy_protocol::Version;
use crate::upstream::Upstream;
use crate::upstream::send_proxy::HeaderSetting;

/// The descriptors of the runtime that probes run on.
const THREAD: u64 = 4;

impl Upstream {
    /// What the active checks found of each backend: check by check, the backends in the order of
    /// [`backends`](Self::backends). Empty without [checks](crate::UpstreamBuilder::health_check). O(n), and allocates: for metrics
    /// and status pages.
    pub fn health_checks(&self) -> Vec<CheckStatus> {
        let checks = &self.shared().checks;
        checks.status(&self.backends(), self.now())
    }

    pub(super) fn check_list(&self) -> &CheckList {
        &self.shared().checks
    }

    /// Counts published memberships.
    pub(crate) fn membership_changes(&self) -> watch::Receiver<u64> {
        self.shared().memberships.subscribe()
    }

    /// How many descriptors the probes of all `upstreams` take, at most.
    pub(crate) fn probe_descriptors(upstreams: &[Self]) -> u64 {
        let of = |upstream: &Self| max_concurrent(&upstream.description().checks);
        let all = upstreams.iter().map(of).fold(0, usize::saturating_add);
        if all == 0 {
            0
        } else {
            // A socket of a handshake is kept for the next one, or waits for it beside as many of the other family.
            let sockets = all.min(most_probes()).saturating_add(IdleSockets::KEPT);
            sockets as u64 + THREAD
        }
    }

    /// The PROXY protocol header in front of a probe.
    pub(super) fn probe_header(&self, settings: &CheckSettings) -> Option<Version> {
        match settings.header {
            ProbeHeader::Never => None,
            ProbeHeader::V1 => Some(Version::V1),
            ProbeHeader::V2 => Some(Version::V2),
            ProbeHeader::AsSessions => match self.header() {
                HeaderSetting::Own(Some(send)) if settings.port.is_none() => Some(send.version()),
                _ => None,
            },
        }
    }
}
