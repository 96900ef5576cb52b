//! Objects of an embedder's type between the server and the store.

use std::sync::Arc;

use serde::{Deserialize, Deserializer};

use super::metadata::ApiObject;
use crate::sources::kubernetes::objects::projection::{Projection, WireObject};

/// An object of an embedder's type. A copy is another reference.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SharedObject<T>(pub(crate) Arc<T>);

impl<'de, T: ApiObject> Deserialize<'de> for SharedObject<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut object = T::deserialize(deserializer)?;
        object.trim();
        Ok(Self(Arc::new(object)))
    }
}

impl<T: ApiObject> WireObject for SharedObject<T> {
    fn key(&self) -> String {
        self.0.metadata().key()
    }

    fn version(&self) -> Option<String> {
        self.0.metadata().resource_version.clone()
    }
}

impl<T: ApiObject> Projection for SharedObject<T> {
    type Object = Self;

    fn of(object: Self) -> Self {
        object
    }
}
