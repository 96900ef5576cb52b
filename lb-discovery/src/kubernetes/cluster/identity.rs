//! Which cluster it is.

use std::path::absolute;
use std::sync::Arc;

use super::{Cluster, Place};

impl Cluster {
    /// Tells clusters apart: by the file, the context and the address of the API. Credentials and authorities may be
    /// rotated without making another cluster of it.
    ///
    /// `url` is the address that the last list came from. Without one the configuration is read for it.
    pub(in crate::kubernetes) fn identity(&self, url: Option<Arc<str>>) -> String {
        let place = match &self.place {
            Place::File(path) => absolute(path).unwrap_or_else(|_| path.clone()),
            Place::InCluster => "(the pod's service account)".into(),
            Place::Inferred => "(inferred)".into(),
        };
        let read = || Some(self.load().ok()?.cluster_url.to_string());
        let url = url.map(|url| url.to_string()).or_else(read);
        let url = url.unwrap_or_default();
        let url = url.trim_end_matches('/');
        format!("{place:?} context {:?} at {url:?}", self.context)
    }
}
