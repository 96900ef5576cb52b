//! The settings of Kubernetes.

use std::path::PathBuf;
use std::time::Duration;

use lb_core::serde_form::DurationForm;

use crate::DiscoveryError;
use crate::sources::kubernetes::{
    Cluster, EndpointSlices, Families, NodeAddress, NodePort, Pods, Port,
};

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

    pub(super) fn build(&self, cluster: Cluster) -> Result<EndpointSlices, DiscoveryError> {
        let slices = EndpointSlices::try_new(cluster, &self.namespace, &self.service)?;
        let slices = slices.families(self.families);
        Ok(match &self.port {
            Some(port) => slices.port(port.clone()),
            None => slices,
        })
    }
}

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

    pub(super) fn build(&self, cluster: Cluster) -> Result<NodePort, DiscoveryError> {
        let nodes = NodePort::try_new(cluster, &self.namespace, &self.service)?;
        let nodes = nodes.families(self.families).ready_only(self.ready_only);
        let nodes = nodes.addresses(self.addresses.iter().copied());
        Ok(match &self.port {
            Some(port) => nodes.port(port.clone()),
            None => nodes,
        })
    }
}

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

    pub(super) fn build(&self, cluster: Cluster) -> Result<Pods, DiscoveryError> {
        let (namespace, port) = (&self.namespace, self.port.clone());
        let pods = match &self.of {
            PodOwner::DaemonSet(name) => Pods::try_daemon_set(cluster, namespace, name, port),
            PodOwner::Deployment(name) => Pods::try_deployment(cluster, namespace, name, port),
            PodOwner::Selector(labels) => Pods::try_selected(cluster, namespace, labels, port),
        };
        Ok(pods?.families(self.families))
    }
}

/// How the API of a cluster is reached and asked: [`Cluster`].
#[non_exhaustive]
#[derive(Clone, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct ClusterSettings {
    /// Where its address and credentials are. Default: `inferred`.
    pub config: ClusterOrigin,
    /// The context of the kubeconfig. Default: its `current-context`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context: Option<Box<str>>,
    /// How long lists must stay empty before they empty a set that had backends. Default: 10s.
    #[serde(with = "DurationForm")]
    pub confirm_empty: Duration,
    /// The number of objects in one page of a list. Default: 100.
    pub page_size: u32,
    /// The time after which all objects are listed again. Default: 5m; less than 1 s counts as 1 s.
    #[serde(with = "DurationForm")]
    pub relist_interval: Duration,
    /// The time for one page of a list, and for the start of a watch. Default: 15s.
    #[serde(with = "DurationForm")]
    pub request_timeout: Duration,
    /// How long one watch request lasts, in whole seconds. Default: 1m; less than 1 s counts as 1 s.
    #[serde(with = "DurationForm")]
    pub watch_timeout: Duration,
    /// The time that an `exec` plugin takes to return credentials. Default: 20s.
    #[serde(with = "DurationForm")]
    pub plugin_timeout: Duration,
}

/// Where the address of a cluster and the credentials for it are.
#[non_exhaustive]
#[derive(Clone, Debug, Default, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ClusterOrigin {
    /// Where the program runs: the service account of its pod.
    InCluster,
    /// Where kubectl would find them: `$KUBECONFIG`, `~/.kube/config`, else the service account.
    #[default]
    Inferred,
    /// The kubeconfig file at this path.
    Kubeconfig(PathBuf),
}

impl Default for ClusterSettings {
    fn default() -> Self {
        Self {
            config: ClusterOrigin::default(),
            context: None,
            confirm_empty: Duration::from_secs(10),
            page_size: 100,
            relist_interval: Duration::from_secs(300),
            request_timeout: Duration::from_secs(15),
            watch_timeout: Duration::from_secs(60),
            plugin_timeout: Duration::from_secs(20),
        }
    }
}

impl ClusterSettings {
    pub(super) fn build(&self) -> Cluster {
        let cluster = match &self.config {
            ClusterOrigin::InCluster => Cluster::in_cluster(),
            ClusterOrigin::Inferred => Cluster::inferred(),
            ClusterOrigin::Kubeconfig(path) => Cluster::kubeconfig(path),
        };
        let cluster = cluster
            .confirm_empty(self.confirm_empty)
            .page_size(self.page_size)
            .relist_interval(self.relist_interval)
            .request_timeout(self.request_timeout)
            .watch_timeout(self.watch_timeout)
            .plugin_timeout(self.plugin_timeout);
        match &self.context {
            Some(context) => cluster.context(&**context),
            None => cluster,
        }
    }
}
