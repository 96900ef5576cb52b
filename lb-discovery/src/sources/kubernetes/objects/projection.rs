//! The projection of an object to the fields that sources use.

use std::fmt;

use kube::Resource;
use serde::de::DeserializeOwned;

/// An object of the API, reduced to the fields that sources use.
pub(crate) trait Projection: Clone + fmt::Debug + PartialEq + Send + 'static {
    /// The object as the API has it.
    type Object: Resource<DynamicType = ()> + Clone + DeserializeOwned + Send;

    fn of(object: Self::Object) -> Self;
}
