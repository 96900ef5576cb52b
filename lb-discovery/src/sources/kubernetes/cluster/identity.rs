//! Which cluster it is.

use std::path::absolute;

use super::{Cluster, Place};
#[cfg(doc)]
use crate::sources::kubernetes::config::kubeconfig::Loaded;
use crate::sources::kubernetes::watch::object_store::Memory;

impl Cluster {
    /// Tells clusters apart: by the file, the context and where that [leads](Loaded::destination).
    ///
    /// The destination is the one that the last list came from. Before the first list, the configuration is read for it,
    /// once.
    pub(crate) fn identity(&self, memory: &Memory) -> String {
        let place = match &self.place {
            Place::File(path) => absolute(path).unwrap_or_else(|_| path.clone()),
            Place::InCluster => "(the pod's service account)".into(),
            Place::Inferred => "(inferred)".into(),
        };
        let read = || {
            let destination =
                self.in_time(|cluster| Some(cluster.load().ok()?.destination().into()));
            destination.ok()?
        };
        let destination = memory.destination(read).unwrap_or_default();
        format!("{place:?} context {:?} at {destination:?}", self.context)
    }
}
