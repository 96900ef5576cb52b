//! State that a reload takes over from the former configuration.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use lb_proxy::access::ClientZone;
use lb_proxy::settings::UnixSocketOpener;

use super::inherited::ClaimedSocket;
use crate::config::limit_conn::LimitConnZone;

/// What a reload takes over from the former configuration. lb-proxy compares listeners and upstreams.
#[derive(Clone, Debug, Default)]
pub(crate) struct ReloadState {
    zones: Vec<(LimitConnZone, ClientZone)>,
    /// Inherited sockets in use.
    pub(crate) inherited: Vec<ClaimedSocket>,
    /// Set once this process ends while the process of another binary serves on.
    pub(crate) another_serves: Arc<AtomicBool>,
    /// What opens unix domain sockets, if not this process.
    pub(crate) socket_opener: Option<Arc<dyn UnixSocketOpener>>,
}

impl ReloadState {
    /// Takes over the zones of `config`. As in nginx, a zone with the name and the size of a former zone is that zone. With
    /// another key it is not.
    pub(super) fn take_zones(&mut self, config: &[LimitConnZone]) {
        let zones = config.iter().map(|new| {
            let same = |(old, _): &&(LimitConnZone, _)| {
                (&old.name, old.clients, &old.key) == (&new.name, new.clients, &new.key)
            };
            let zone = match self.zones.iter().find(same) {
                Some((_, zone)) => zone.clone(),
                None => client_zone(new),
            };
            (new.clone(), zone)
        });
        self.zones = zones.collect();
    }

    pub(super) fn zone(&self, name: &str) -> Option<&(LimitConnZone, ClientZone)> {
        let mut zones = self.zones.iter();
        zones.find(|(config, _)| config.name == name)
    }
}

/// As in nginx, each IPv6 address is a client of its own.
fn client_zone(config: &LimitConnZone) -> ClientZone {
    let zone = ClientZone::builder().ipv6_prefix(128);
    zone.capacity(config.clients.get()).build()
}
