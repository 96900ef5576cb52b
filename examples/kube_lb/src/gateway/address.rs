//! The addresses of Gateways: what they ask the pools for.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use super::api::gateway::ListenerStatus;
use super::listener::GatewayListener;
use super::programming;
use super::view::{GatewayView, View};
use crate::addresses::{AddressRequest, Family, Held, Owner, Pools};

/// What a Gateway asks for. Its ListenerSets' ports count as its own.
///
/// What it holds are the addresses in its status, with the ports that the conditions of its listeners name.
pub(crate) fn request(gateway: &GatewayView<'_>, view: &View<'_>, pools: &Pools) -> AddressRequest {
    let metadata = &gateway.object.metadata;
    let spec = gateway.object.spec.addresses.iter();
    let wanted: Vec<IpAddr> = spec
        .filter_map(|address| address.value.parse().ok())
        .collect();
    let namespace = &gateway.name.namespace;
    let families = match wanted.is_empty() {
        true => families_of(pools, namespace),
        false => Vec::new(),
    };
    let ports = all_listeners(gateway, view)
        .filter(|listener| !listener.is_rejected())
        .filter_map(|listener| listener.port);
    AddressRequest {
        owner: owner(gateway),
        created: metadata.creation_timestamp.clone().unwrap_or_default(),
        families,
        needs_all_families: true,
        ports: ports.collect(),
        wanted,
        pool: None,
        held: held(gateway, view),
    }
}

/// The Gateway as an owner of addresses.
pub(crate) fn owner(gateway: &GatewayView<'_>) -> Owner {
    Owner::gateway(&gateway.name.namespace, &gateway.name.name)
}

/// The listeners of a Gateway and its ListenerSets.
pub(crate) fn all_listeners<'a>(
    gateway: &'a GatewayView<'_>,
    view: &'a View<'_>,
) -> impl Iterator<Item = &'a GatewayListener<'a>> {
    let sets = gateway
        .sets
        .iter()
        .map(|&set| view.sets[set].listeners.clone());
    let ranges = std::iter::once(gateway.listeners.clone()).chain(sets);
    ranges.flat_map(|range| &view.listeners[range])
}

/// The families of which a pool has addresses for the namespace: a Gateway gets one of each. IPv4 if there are none.
fn families_of(pools: &Pools, namespace: &str) -> Vec<Family> {
    let usable = pools
        .iter()
        .filter(|pool| pool.is_automatic && pool.allows(namespace));
    let ranges = usable.flat_map(|pool| &pool.ranges);
    let families: BTreeSet<Family> = ranges
        .map(|range| {
            if range.is_ipv4() {
                Family::Ipv4
            } else {
                Family::Ipv6
            }
        })
        .collect();
    match families.is_empty() {
        true => vec![Family::Ipv4],
        false => families.into_iter().collect(),
    }
}

fn held(gateway: &GatewayView<'_>, view: &View<'_>) -> Vec<Held> {
    let own = gateway.object.status.listeners.iter();
    let of_sets = gateway
        .sets
        .iter()
        .flat_map(|&set| &view.sets[set].object.status.listeners);
    let mut ports: BTreeMap<IpAddr, BTreeSet<u16>> = BTreeMap::new();
    for addr in own.chain(of_sets).flat_map(held_by) {
        ports.entry(addr.ip()).or_default().insert(addr.port());
    }
    let addresses = gateway.object.status.addresses.iter();
    let addresses = addresses.filter_map(|address| address.value.parse().ok());
    addresses
        .map(|ip| Held {
            ip,
            ports: ports.remove(&ip).unwrap_or_default(),
        })
        .collect()
}

/// The addresses and ports that the status of a listener names.
fn held_by(listener: &ListenerStatus) -> Vec<SocketAddr> {
    let mut conditions = listener.conditions.iter();
    let programmed = conditions.find(|condition| condition.kind == "Programmed");
    programmed
        .map(|condition| programming::held(&condition.message))
        .unwrap_or_default()
}
