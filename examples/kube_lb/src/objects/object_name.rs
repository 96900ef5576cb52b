//! Names of objects.

use std::fmt;

use lb_discovery::kubernetes::controller::Metadata;

/// The namespace and the name of an object. The namespace of a cluster-wide object is empty.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ObjectName {
    /// Empty for an object of the whole cluster.
    pub namespace: String,
    /// Unique among the objects of a kind in the namespace.
    pub name: String,
}

impl ObjectName {
    /// The object `name` in `namespace`.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
        }
    }

    /// The name in `metadata`.
    pub fn of(metadata: &Metadata) -> Self {
        let namespace = metadata.namespace.clone().unwrap_or_default();
        Self::new(namespace, &metadata.name)
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { namespace, name } = self;
        write!(f, "{namespace}/{name}")
    }
}
