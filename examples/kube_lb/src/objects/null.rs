//! Fields that are `null`.

use serde::{Deserialize, Deserializer};

/// A field that a server sends as `null` where it has none.
pub(crate) fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
