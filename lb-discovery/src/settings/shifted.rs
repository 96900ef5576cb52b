//! The settings of a source in lower tiers.

use std::sync::Arc;

use super::SourceSettings;
use crate::{Merge, Source};

/// A source whose backends are used when those of higher tiers are not eligible.
#[non_exhaustive]
#[derive(Clone, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ShiftedSettings {
    /// How many tiers lower the backends are.
    pub tiers: u8,
    /// The source.
    pub source: Box<SourceSettings>,
}

impl ShiftedSettings {
    /// The backends of `source`, `tiers` tiers lower.
    pub fn new(source: SourceSettings, tiers: u8) -> Self {
        Self {
            tiers,
            source: Box::new(source),
        }
    }

    pub(super) fn build(&self, source: Arc<dyn Source>) -> Merge {
        Merge::new().shifted_part(source, self.tiers)
    }
}
