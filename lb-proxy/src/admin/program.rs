//! What the embedding program adds to the answers.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A line of the configuration that runs.
#[non_exhaustive]
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ConfigLine {
    /// The file, or another name of the place.
    pub file: String,
    /// The number of the line, from 1.
    pub line: u32,
    /// The line without its end.
    pub text: String,
}

impl ConfigLine {
    /// A line.
    pub fn new(file: impl Into<String>, line: u32, text: impl Into<String>) -> Self {
        Self {
            file: file.into(),
            line,
            text: text.into(),
        }
    }
}

/// Reads and sets the level of the program's log.
pub trait LogLevels: fmt::Debug + Send + Sync {
    /// The level in force, as the status shows it.
    fn level(&self) -> String;

    /// Sets the level until the process ends, the configuration is reloaded, or it is set again. `default` is the
    /// configuration's.
    ///
    /// # Errors
    ///
    /// A message that names the levels there are.
    fn set_level(&self, level: &str) -> Result<(), String>;
}

/// Returns the lines of the configuration that runs.
type ConfigFn = dyn Fn() -> Vec<ConfigLine> + Send + Sync;

/// What the embedding program adds to the answers.
#[derive(Clone)]
pub(crate) struct Program {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) config: Option<Arc<ConfigFn>>,
    pub(crate) log_levels: Option<Arc<dyn LogLevels>>,
}

impl Program {
    pub(crate) fn log_level(&self) -> Option<String> {
        self.log_levels.as_ref().map(|levels| levels.level())
    }
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Program")
            .field("name", &self.name)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}
