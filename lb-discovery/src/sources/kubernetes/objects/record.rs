//! What every kind of object has.

use std::fmt;

use kube::Resource;
use serde::de::DeserializeOwned;

/// An object, cut down to what is needed of it.
pub(crate) trait Record: Clone + fmt::Debug + PartialEq + Send + 'static {
    /// The object as the API has it.
    type Object: Resource<DynamicType = ()> + Clone + DeserializeOwned + Send;

    fn of(object: Self::Object) -> Self;
}
