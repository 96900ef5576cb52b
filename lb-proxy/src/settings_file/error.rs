//! The error of settings that cannot work.

use std::error::Error;

/// A setting that cannot work, with its place, such as `upstreams.echo.sources[0]`.
#[derive(Debug, thiserror::Error)]
#[error("{place}: {source}")]
pub struct SettingsError {
    place: Box<str>,
    source: Box<dyn Error + Send + Sync>,
}

impl SettingsError {
    pub(super) fn at(
        place: impl Into<Box<str>>,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self {
            place: place.into(),
            source: source.into(),
        }
    }

    /// Where the setting is, as names and numbers from 0, joined by dots.
    pub fn place(&self) -> &str {
        &self.place
    }
}
