//! The metadata of an object of the API.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};

/// An object of the API, reduced to the fields that a program uses.
pub trait ApiObject:
    Clone + fmt::Debug + DeserializeOwned + PartialEq + Send + Sync + 'static
{
    /// Its metadata.
    fn metadata(&self) -> &Metadata;

    /// Removes what the program does not use before the object is stored, such as annotations of other programs. Default: nothing.
    fn trim(&mut self) {}
}

/// The metadata of an object. Fields that the server does not send are empty.
#[non_exhaustive]
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Metadata {
    /// The name, unique among the objects of a kind in a namespace.
    pub name: String,
    /// The namespace. `None` for objects of the whole cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Unique in the life of a cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// Changes with every change of the object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_version: Option<String>,
    /// Grows with every change of the specification, for kinds with a status of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation: Option<i64>,
    /// When it was created: RFC 3339 in UTC, to the second. Texts of this form sort by time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub creation_timestamp: Option<String>,
    /// When its deletion was requested: it exists until its finalizers are removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deletion_timestamp: Option<String>,
    /// The labels.
    #[serde(
        deserialize_with = "or_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub labels: BTreeMap<String, String>,
    /// The annotations.
    #[serde(
        deserialize_with = "or_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub annotations: BTreeMap<String, String>,
    /// The finalizers.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub finalizers: Vec<String>,
}

impl Metadata {
    /// `namespace/name`, or the name of an object of the whole cluster: what [`ObjectWatch`](super::ObjectWatch) knows it by.
    pub fn key(&self) -> String {
        match &self.namespace {
            Some(namespace) => format!("{namespace}/{}", self.name),
            None => self.name.clone(),
        }
    }
}

impl Metadata {
    /// Whether both are equal but for their versions.
    pub(super) fn is_same_object(&self, other: &Self) -> bool {
        let Self {
            name,
            namespace,
            uid,
            resource_version: _,
            generation,
            creation_timestamp,
            deletion_timestamp,
            labels,
            annotations,
            finalizers,
        } = self;
        *name == other.name
            && *namespace == other.namespace
            && *uid == other.uid
            && *generation == other.generation
            && *creation_timestamp == other.creation_timestamp
            && *deletion_timestamp == other.deletion_timestamp
            && *labels == other.labels
            && *annotations == other.annotations
            && *finalizers == other.finalizers
    }
}

/// A field that a server sends as `null` where it has none.
fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
