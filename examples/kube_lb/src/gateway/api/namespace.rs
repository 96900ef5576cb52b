//! Namespace: its labels, which selectors select.

use lb_discovery::kubernetes::controller::{ApiObject, Collection, Metadata};
use serde::{Deserialize, Serialize};

/// The plural name of namespaces.
pub(crate) const NAMESPACES: &str = "namespaces";

/// A namespace.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub(crate) struct Namespace {
    pub(crate) metadata: Metadata,
}

impl Namespace {
    /// All namespaces.
    pub(crate) fn collection() -> Collection {
        Collection::new("/api/v1", NAMESPACES)
    }
}

impl ApiObject for Namespace {
    fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    fn trim(&mut self) {
        self.metadata.annotations.clear();
    }
}
