//! The settings of nodes at the node port of a Service.

use super::cluster::ClusterSettings;
use crate::DiscoveryError;
use crate::sources::kubernetes::{Cluster, Families, NodeAddress, NodePort, Port};

/// The nodes of a cluster at the node port of a Service: [`NodePort`].
#[non_exhaustive]
#[derive(Clone, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NodePortSettings {
    /// The namespace.
    pub namespace: Box<str>,
    /// The Service.
    pub service: Box<str>,
    /// The port of the Service, by its name or number, which is not the node port. Default: its only port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<Port>,
    /// The addresses that are used of both families. Default: `prefer_ipv4`.
    #[serde(default)]
    pub families: Families,
    /// The types of addresses that may be used, the preferred one first. Default: `internal` alone.
    #[serde(default = "addresses")]
    pub addresses: Vec<NodeAddress>,
    /// Whether nodes that are not ready are left out. Default: false.
    #[serde(default)]
    pub ready_only: bool,
    /// The cluster. Default: the one that kubectl would use.
    #[serde(default)]
    pub cluster: ClusterSettings,
}

fn addresses() -> Vec<NodeAddress> {
    vec![NodeAddress::Internal]
}

impl NodePortSettings {
    /// The only port of `service` in `namespace`, everything else at its default.
    pub fn new(namespace: impl Into<Box<str>>, service: impl Into<Box<str>>) -> Self {
        Self {
            namespace: namespace.into(),
            service: service.into(),
            port: None,
            families: Families::default(),
            addresses: addresses(),
            ready_only: false,
            cluster: ClusterSettings::default(),
        }
    }

    pub(in crate::settings) fn build(&self, cluster: Cluster) -> Result<NodePort, DiscoveryError> {
        let nodes = NodePort::try_new(cluster, &self.namespace, &self.service)?;
        let nodes = nodes.families(self.families).ready_only(self.ready_only);
        let nodes = nodes.addresses(self.addresses.iter().copied());
        Ok(match &self.port {
            Some(port) => nodes.port(port.clone()),
            None => nodes,
        })
    }
}
