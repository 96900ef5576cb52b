//! The settings of a source without some of its backends.

use std::sync::Arc;

use super::{BackendMatch, SourceSettings};
use crate::{DiscoveryError, Filter, Source};

/// The backends of a source that match `keep` and do not match `drop`: [`Filter`].
///
/// At least one of both has to be there. A set of which no backend is left is empty, which is no failure of the source.
#[non_exhaustive]
#[derive(Clone, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct FilteredSettings {
    /// The source.
    pub source: Box<SourceSettings>,
    /// Which backends are kept. Default: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep: Option<BackendMatch>,
    /// Which of these are left out. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drop: Option<BackendMatch>,
}

impl FilteredSettings {
    /// The backends of `source` that match `keep`.
    pub fn keep(source: SourceSettings, keep: BackendMatch) -> Self {
        Self {
            source: Box::new(source),
            keep: Some(keep),
            drop: None,
        }
    }

    /// The backends of `source` that do not match `drop`.
    pub fn drop(source: SourceSettings, drop: BackendMatch) -> Self {
        Self {
            source: Box::new(source),
            keep: None,
            drop: Some(drop),
        }
    }

    pub(super) fn build(&self, source: Arc<dyn Source>) -> Result<Filter, DiscoveryError> {
        let mut conditions = self.keep.iter().chain(&self.drop).peekable();
        if conditions.peek().is_none() || conditions.any(BackendMatch::is_empty) {
            return Err(DiscoveryError::Config {
                what: format!("filtering {}", source.label()).into(),
                problem: "keep or drop has to have a condition, such as a zone".into(),
                source: None,
            });
        }
        let (keep, drop) = (self.keep.clone(), self.drop.clone());
        Ok(Filter::new(source, move |backend| {
            let is_kept = keep.as_ref().is_none_or(|keep| keep.matches(backend));
            is_kept && !drop.as_ref().is_some_and(|drop| drop.matches(backend))
        }))
    }
}
