//! The settings of the pods of a Service.

use super::cluster::ClusterSettings;
use crate::DiscoveryError;
use crate::sources::kubernetes::{Cluster, EndpointSlices, Families, Port};

/// The pods of a Service: [`EndpointSlices`].
#[non_exhaustive]
#[derive(Clone, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct EndpointSlicesSettings {
    /// The namespace.
    pub namespace: Box<str>,
    /// The Service.
    pub service: Box<str>,
    /// The port of the Service, by its name or number. Default: its only port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<Port>,
    /// The addresses that are used of both families. Default: `prefer_ipv4`.
    #[serde(default)]
    pub families: Families,
    /// The cluster. Default: the one that kubectl would use.
    #[serde(default)]
    pub cluster: ClusterSettings,
}

impl EndpointSlicesSettings {
    /// The only port of `service` in `namespace`, everything else at its default.
    pub fn new(namespace: impl Into<Box<str>>, service: impl Into<Box<str>>) -> Self {
        Self {
            namespace: namespace.into(),
            service: service.into(),
            port: None,
            families: Families::default(),
            cluster: ClusterSettings::default(),
        }
    }

    pub(in crate::settings) fn build(
        &self,
        cluster: Cluster,
    ) -> Result<EndpointSlices, DiscoveryError> {
        let slices = EndpointSlices::try_new(cluster, &self.namespace, &self.service)?;
        let slices = slices.families(self.families);
        Ok(match &self.port {
            Some(port) => slices.port(port.clone()),
            None => slices,
        })
    }
}
