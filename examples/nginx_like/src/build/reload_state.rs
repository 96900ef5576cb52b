//! What a reload takes over from the former configuration.

use std::collections::HashMap;
use std::sync::Arc;

use lb_proxy::ClientZone;

use super::error::BuildError;
use super::inherited::ClaimedSocket;
use super::kubernetes;
use super::resolvers::SystemResolver;
use super::upstream::upstream;
use crate::config::limit_conn::LimitConnZone;
use crate::config::upstream::block::Upstream;

/// What a reload takes over from the former configuration.
#[derive(Clone, Debug, Default)]
pub(crate) struct ReloadState {
    upstreams: Vec<KeptUpstream>,
    zones: Vec<(LimitConnZone, ClientZone)>,
    /// Inherited sockets in use.
    pub(super) inherited: Vec<ClaimedSocket>,
}

#[derive(Clone, Debug)]
struct KeptUpstream {
    config: Upstream,
    /// Which clusters its files led to.
    clusters: Vec<Arc<str>>,
    made: lb_proxy::Upstream,
}

impl ReloadState {
    /// The upstreams of `config`. One that says what a former one said, about the same clusters, is that one, unless a
    /// source of it fails: a reload that follows a repair asks the source at once.
    pub(super) fn take_upstreams(&mut self, config: &[Upstream]) -> Result<(), BuildError> {
        let before = self.upstreams.iter().map(|old| (&*old.config.name, old));
        let before: HashMap<_, _> = before.collect();
        let same = |new: &Upstream, clusters: &[Arc<str>]| {
            let old = before.get(&*new.name)?;
            let sources = old.made.discovery().sources;
            let is_well = sources.iter().all(|source| source.last_error.is_none());
            let is_same = new.says_the_same(&old.config) && *clusters == *old.clusters;
            (is_well && is_same).then(|| old.made.clone())
        };
        let system = SystemResolver::default();
        let upstreams = config.iter().map(|new| {
            let clusters = kubernetes::identities(&new.kubernetes)?;
            let made = same(new, &clusters).map_or_else(|| upstream(new, &system), Ok)?;
            Ok(KeptUpstream {
                config: new.clone(),
                clusters,
                made,
            })
        });
        self.upstreams = upstreams.collect::<Result<_, BuildError>>()?;
        Ok(())
    }

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

    /// The upstream with this number in the configuration.
    pub(super) fn upstream(&self, number: usize) -> &lb_proxy::Upstream {
        &self.upstreams[number].made
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
