//! The projection of an object to the fields that sources use.

use std::fmt;

use kube::{Resource, ResourceExt};
use serde::de::DeserializeOwned;

/// An object of the API, reduced to the fields that sources use.
pub(crate) trait Projection: Clone + fmt::Debug + PartialEq + Send + 'static {
    /// The object as the API has it.
    type Object: WireObject;

    fn of(object: Self::Object) -> Self;
}

/// An object as the API sends it.
pub(crate) trait WireObject: Clone + DeserializeOwned + Send {
    /// What distinguishes it among the objects of one query.
    fn key(&self) -> String;

    /// Its `resourceVersion`.
    fn version(&self) -> Option<String>;
}

impl<K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Send> WireObject for K {
    fn key(&self) -> String {
        self.name_any()
    }

    fn version(&self) -> Option<String> {
        self.resource_version()
    }
}
