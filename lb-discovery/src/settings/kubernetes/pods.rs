//! The settings of pods on ports of their nodes.

use super::cluster::ClusterSettings;
use crate::DiscoveryError;
use crate::sources::kubernetes::{Cluster, Families, Pods, Port};

/// Pods that listen on ports of their nodes: [`Pods`].
#[non_exhaustive]
#[derive(Clone, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct PodsSettings {
    /// The namespace.
    pub namespace: Box<str>,
    /// Which pods: `{ daemon_set: NAME }`, `{ deployment: NAME }` or `{ selector: LABELS }`.
    pub of: PodOwner,
    /// The port, by its name, or by the number of the container's or the node's.
    pub port: Port,
    /// The addresses that are used of both families. Default: `prefer_ipv4`.
    #[serde(default)]
    pub families: Families,
    /// The cluster. Default: the one that kubectl would use.
    #[serde(default)]
    pub cluster: ClusterSettings,
}

/// Which pods of a namespace are backends.
#[non_exhaustive]
#[derive(Clone, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum PodOwner {
    /// Those of the DaemonSet with this name.
    DaemonSet(Box<str>),
    /// Those of the Deployment with this name.
    Deployment(Box<str>),
    /// Those that this label selector matches, such as `app=echo,tier in (a, b)`.
    Selector(Box<str>),
}

impl PodsSettings {
    /// `port` of the pods `of` in `namespace`, everything else at its default.
    pub fn new(namespace: impl Into<Box<str>>, of: PodOwner, port: impl Into<Port>) -> Self {
        Self {
            namespace: namespace.into(),
            of,
            port: port.into(),
            families: Families::default(),
            cluster: ClusterSettings::default(),
        }
    }

    pub(in crate::settings) fn build(&self, cluster: Cluster) -> Result<Pods, DiscoveryError> {
        let (namespace, port) = (&self.namespace, self.port.clone());
        let pods = match &self.of {
            PodOwner::DaemonSet(name) => Pods::try_daemon_set(cluster, namespace, name, port),
            PodOwner::Deployment(name) => Pods::try_deployment(cluster, namespace, name, port),
            PodOwner::Selector(labels) => Pods::try_selected(cluster, namespace, labels, port),
        };
        Ok(pods?.families(self.families))
    }
}
