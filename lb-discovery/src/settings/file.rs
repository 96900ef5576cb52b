//! The settings of a watched file.

use std::path::PathBuf;
use std::time::Duration;

use lb_core::serde_form::DurationForm;

use crate::{File, FileFormat};

/// The backends that a JSON or YAML file lists: [`File`].
#[non_exhaustive]
#[derive(Clone, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct FileSettings {
    /// Where the file is.
    pub path: PathBuf,
    /// Its format. Default: JSON if its name ends in `.json`, otherwise YAML.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<FileFormat>,
    /// The time between two reads. Default: 1s; less than 100 ms counts as 100 ms.
    #[serde(default = "interval", with = "DurationForm")]
    pub interval: Duration,
}

fn interval() -> Duration {
    Duration::from_secs(1)
}

impl FileSettings {
    /// The file at `path`, everything else at its default.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            format: None,
            interval: interval(),
        }
    }

    pub(super) fn build(&self) -> File {
        let file = match self.format {
            Some(format) => File::with_format(&self.path, format),
            None => File::new(&self.path),
        };
        file.interval(self.interval)
    }
}
