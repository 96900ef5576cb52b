//! The reaction of a server to links, routes and addresses that come and go.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use tracing::info;
#[cfg(all(feature = "netlink", target_os = "linux"))]
use tracing::warn;

use super::handle::Handle;
use super::pause::each_cohort;
use super::server_state::ServerState;
#[cfg(all(feature = "netlink", target_os = "linux"))]
use crate::network_watch::{NetworkEvent, NetworkPart, NetworkWatch};
use crate::state::worker::Worker;

/// How long the sessions are not asked after the loss of an address, because a device loses all of its addresses at once.
const LOSSES: Duration = Duration::from_millis(10);

/// The time between the questions to two cohorts of sessions, which look at their sockets then.
const SPREAD: Duration = Duration::from_millis(2);

/// How long before its loss was seen a link, an address or a route may have been lost. The kernel reports it within
/// milliseconds, to a process that runs.
#[cfg(all(feature = "netlink", target_os = "linux"))]
const UNSEEN: Duration = Duration::from_secs(1);

/// The time after which a failed watch is tried again.
#[cfg(all(feature = "netlink", target_os = "linux"))]
const RETRY: Duration = Duration::from_secs(1);

impl Handle {
    /// Reports that the address `ip` has left this machine: that it moved to another one, or that its device is gone.
    /// Sessions whose clients connected to it end after the
    /// [`orphan_timeout`](super::ProxyBuilder::orphan_timeout), if the proxy has one, unless it
    /// [returns](Self::note_address_returned) before.
    ///
    /// `follow_network` (with the feature `netlink`) calls it. Costs each session of the server a system call, spread over a
    /// tenth of a second.
    pub fn note_address_lost(&self, ip: IpAddr) {
        let lost = &self.server.context.trackers.lost_addresses;
        if lost.note_lost(ip) {
            let asking = ask_sessions(Arc::clone(&self.server));
            self.server.context.runtime.spawn(asking);
        }
    }

    /// Reports that the address `ip` is on this machine, for sessions that would end because it was
    /// [lost](Self::note_address_lost).
    pub fn note_address_returned(&self, ip: IpAddr) {
        let lost = &self.server.context.trackers.lost_addresses;
        if lost.note_returned(ip) {
            info!(address = %ip, "Local address returned, its sessions go on");
        }
    }
}

#[cfg(all(feature = "netlink", target_os = "linux"))]
impl Handle {
    /// Acts on what `watch` sees, until the future is dropped.
    ///
    /// - When a link, an address or a default route returns that was lost, all upstreams forgive the failures without an answer
    ///   of that time: [`Upstream::forgive_unanswered_within`](crate::Upstream::forgive_unanswered_within). It does nothing
    ///   for upstreams without [`common_outage`](field@lb_core::BalancerConfig::common_outage).
    /// - Sessions end whose address is lost for the [`orphan_timeout`](super::ProxyBuilder::orphan_timeout).
    ///
    /// A failure of the watch is logged once, and tried again every second.
    pub async fn follow_network(&self, mut watch: NetworkWatch) {
        let mut has_failed = false;
        loop {
            match watch.next().await {
                Ok(event) => {
                    has_failed = false;
                    self.note_network(event);
                }
                Err(error) => {
                    if !has_failed {
                        warn!(%error, "Network not watched");
                    }
                    has_failed = true;
                    sleep(RETRY).await;
                }
            }
        }
    }

    fn note_network(&self, event: NetworkEvent) {
        match event {
            NetworkEvent::Appeared(NetworkPart::Address(ip)) => self.note_address_returned(ip),
            NetworkEvent::Appeared(_) => {}
            NetworkEvent::Lost(part) => {
                info!(%part, "Network part lost");
                if let NetworkPart::Address(ip) = part {
                    self.note_address_lost(ip);
                }
            }
            NetworkEvent::Returned { part, lost_for } => {
                info!(%part, ?lost_for, "Network part returned");
                if let NetworkPart::Address(ip) = part {
                    self.note_address_returned(ip);
                }
                for upstream in self.upstreams() {
                    upstream.forgive_unanswered_within(lost_for.saturating_add(UNSEEN));
                }
            }
        }
    }
}

/// Lets every session look whether its local address is lost.
async fn ask_sessions(server: Arc<ServerState>) {
    sleep(LOSSES).await;
    let context = &server.context;
    context.trackers.lost_addresses.begin_asking();
    each_cohort(&context.workers, SPREAD, Worker::ask_cohort).await;
}
