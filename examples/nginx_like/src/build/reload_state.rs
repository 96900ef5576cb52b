//! What a reload takes over from the former configuration.

use lb_proxy::access::ClientZone;

use super::inherited::ClaimedSocket;
use crate::config::limit_conn::LimitConnZone;

/// What a reload takes over from the former configuration. lb-proxy compares listeners and upstreams.
#[derive(Clone, Debug, Default)]
pub(crate) struct ReloadState {
    zones: Vec<(LimitConnZone, ClientZone)>,
    /// Inherited sockets in use.
    pub(crate) inherited: Vec<ClaimedSocket>,
}

impl ReloadState {
    /// Takes over the zones of `config`. As in nginx, a zone with the name and the size of a former zone is that zone.
    pub(super) fn take_zones(&mut self, config: &[LimitConnZone]) {
        let zones = config.iter().map(|new| {
            let same = |(old, _): &&(LimitConnZone, _)| {
                (&old.name, old.clients) == (&new.name, new.clients)
            };
            let zone = match self.zones.iter().find(same) {
                Some((_, zone)) => zone.clone(),
                None => client_zone(new),
            };
            (new.clone(), zone)
        });
        self.zones = zones.collect();
    }

    pub(super) fn zone(&self, name: &str) -> Option<&ClientZone> {
        let mut zones = self.zones.iter();
        let (_, zone) = zones.find(|(config, _)| config.name == name)?;
        Some(zone)
    }
}

/// As in nginx, each IPv6 address is a client of its own.
fn client_zone(config: &LimitConnZone) -> ClientZone {
    let zone = ClientZone::builder().ipv6_prefix(128);
    zone.capacity(config.clients).build()
}
