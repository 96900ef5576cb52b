//! The form of a setting that inherits, is off, or has a value of its own.

use std::marker::PhantomData;

use lb_core::serde_form::Switch;
use serde::de::{Deserialize, Deserializer};
use serde::ser::{Serialize, Serializer};

/// An `Option<Option<T>>` whose outer `None` is left out, and whose inner one is `false`.
pub(super) struct OrInherited<T>(PhantomData<T>);

impl<T> OrInherited<T> {
    pub(super) fn serialize<S: Serializer>(
        value: &Option<Option<T>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error>
    where
        T: Serialize,
    {
        match value {
            Some(value) => Switch::serialize(value, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Option<T>>, D::Error>
    where
        T: Deserialize<'de>,
    {
        Switch::deserialize(deserializer).map(Some)
    }
}

#[cfg(feature = "schema")]
impl<T: schemars::JsonSchema> schemars::JsonSchema for OrInherited<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        <Switch<T>>::schema_name()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        <Switch<T>>::json_schema(generator)
    }
}
