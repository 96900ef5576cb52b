//! The formats of a file.

/// The format of a file.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, serde::Deserialize, serde::Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum FileFormat {
    /// JSON (RFC 8259).
    Json,
    /// YAML 1.2, one document.
    Yaml,
}
