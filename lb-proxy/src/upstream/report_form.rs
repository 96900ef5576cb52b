//! An upstream in reports as data: its name.

use serde::{Serialize, Serializer};

use super::Upstream;

impl Upstream {
    /// Writes the name of an upstream.
    pub(crate) fn serialize_name<S: Serializer>(
        upstream: &&Self,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(upstream.name())
    }

    /// Writes the name of an upstream, or nothing.
    pub(crate) fn serialize_optional_name<S: Serializer>(
        upstream: &Option<&Self>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        upstream.map(Self::name).serialize(serializer)
    }
}
