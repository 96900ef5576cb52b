//! Conditions that backends match.

use std::fmt::Debug;
use std::sync::Arc;

use lb_core::{Backend, Priority};
use serde::de::{Deserialize, Deserializer, Error};

use crate::Network;
use crate::ip_family::IpFamily;

/// Conditions that a backend matches or not. It matches if each condition that is there has a value that is the backend's.
///
/// A backend without a name, node or zone matches no condition about it. A unix socket has no address, port or family.
#[non_exhaustive]
#[derive(Clone, Debug, Default, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct BackendMatch {
    /// Names: of hosts, pods or nodes, as the source has them. Default: any.
    #[serde(deserialize_with = "some", skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub names: Vec<Arc<str>>,
    /// The machines that backends run on. Default: any.
    #[serde(deserialize_with = "some", skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub nodes: Vec<Arc<str>>,
    /// Failure domains. Default: any.
    #[serde(deserialize_with = "some", skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub zones: Vec<Arc<str>>,
    /// Tiers: 0 for primaries, 1 for backups. Default: any.
    #[serde(deserialize_with = "some", skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub priorities: Vec<Priority>,
    /// Blocks of addresses, such as `10.0.0.0/8`. An IPv4-mapped IPv6 address counts as IPv4. Default: any.
    #[serde(deserialize_with = "some", skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub networks: Vec<Network>,
    /// Ports. Default: any.
    #[serde(deserialize_with = "some", skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub ports: Vec<u16>,
    /// The family of addresses. An IPv4-mapped IPv6 address counts as IPv4. Default: any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub family: Option<IpFamily>,
}

/// Reads a list that is not empty: an empty one would match nothing.
fn some<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    let values = Vec::deserialize(deserializer)?;
    match values.is_empty() {
        true => Err(D::Error::invalid_length(0, &"at least one value")),
        false => Ok(values),
    }
}

impl BackendMatch {
    /// Whether there is no condition. Such conditions are refused where settings become a source.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether `backend` matches. O(values).
    pub fn matches(&self, backend: &Backend) -> bool {
        let tcp = backend.unix_path().is_none().then_some(backend.addr);
        let ip = tcp.map(|addr| addr.ip().to_canonical());
        let in_network = |ip| self.networks.iter().any(|network| network.contains(ip));
        any_of(&self.names, backend.name.as_ref())
            && any_of(&self.nodes, backend.node.as_ref())
            && any_of(&self.zones, backend.zone.as_ref())
            && any_of(&self.priorities, Some(&backend.priority))
            && any_of(&self.ports, tcp.map(|addr| addr.port()).as_ref())
            && (self.networks.is_empty() || ip.is_some_and(in_network))
            && (self.family.is_none() || ip.map(IpFamily::of) == self.family)
    }
}

/// Whether there are no `values`, or `value` is one of them.
fn any_of<T: PartialEq>(values: &[T], value: Option<&T>) -> bool {
    values.is_empty() || value.is_some_and(|value| values.contains(value))
}
