//! The identity of a cluster.

use std::path::absolute;

use super::{Cluster, ConfigOrigin};
#[cfg(doc)]
use crate::sources::kubernetes::config::kubeconfig::ClusterConfig;
use crate::sources::kubernetes::watch::history::WatchHistory;

impl Cluster {
    /// Identifies the cluster by the file, the context and its [destination](ClusterConfig::destination).
    ///
    /// The destination is the one of the connection that brought the last list. Before the first list, it is read from the
    /// configuration, once.
    pub(crate) fn identity(&self, history: &WatchHistory) -> String {
        let place = match &self.place {
            ConfigOrigin::File(path) => absolute(path).unwrap_or_else(|_| path.clone()),
            ConfigOrigin::InCluster => "(the pod's service account)".into(),
            ConfigOrigin::Inferred => "(inferred)".into(),
        };
        let read = || {
            let destination =
                self.in_time(|cluster| Some(cluster.load().ok()?.destination().into()));
            destination.ok()?
        };
        let destination = history.destination(read).unwrap_or_default();
        format!("{place:?} context {:?} at {destination:?}", self.context)
    }
}
