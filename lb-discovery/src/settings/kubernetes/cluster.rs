//! The settings of a cluster, which all sources of Kubernetes have.

use std::path::PathBuf;
use std::time::Duration;

use lb_core::serde_form::DurationForm;

use crate::sources::kubernetes::Cluster;

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
    pub(in crate::settings) fn build(&self) -> Cluster {
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
