//! Which cluster it is.

use std::path::absolute;

use super::{Cluster, Place};
use crate::kubernetes::objects::Memory;

impl Cluster {
    /// Tells clusters apart: by the file, the context and the address of the API. Credentials and authorities may be
    /// rotated without making another cluster of it.
    ///
    /// The address is the one that the last list came from; before the first, the configuration is read for it, once.
    pub(in crate::kubernetes) fn identity(&self, memory: &Memory) -> String {
        let place = match &self.place {
            Place::File(path) => absolute(path).unwrap_or_else(|_| path.clone()),
            Place::InCluster => "(the pod's service account)".into(),
            Place::Inferred => "(inferred)".into(),
        };
        let read = || Some(self.load().ok()?.cluster_url.to_string().into());
        let url = memory.url(read).unwrap_or_default();
        let url = url.trim_end_matches('/');
        format!("{place:?} context {:?} at {url:?}", self.context)
    }
}
