//! Stores of objects by their keys, as lists of the objects.

use std::collections::BTreeMap;
use std::sync::Arc;

use lb_discovery::kubernetes::controller::ApiObject;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The objects in the order of their keys.
pub(crate) fn serialize<S: Serializer, T: Serialize>(
    objects: &BTreeMap<String, Arc<T>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(objects.values().map(|object| &**object))
}

/// The objects by their keys.
pub(crate) fn deserialize<'de, D: Deserializer<'de>, T: ApiObject>(
    deserializer: D,
) -> Result<BTreeMap<String, Arc<T>>, D::Error> {
    let objects = Vec::<T>::deserialize(deserializer)?;
    let objects = objects.into_iter();
    Ok(objects
        .map(|object| (object.metadata().key(), Arc::new(object)))
        .collect())
}
