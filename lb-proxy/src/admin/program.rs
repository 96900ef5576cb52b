//! Additions of the embedding program to the answers.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::Handle;
use crate::embedder_code::{catch, named};
use crate::into_shared::shared;

/// A line of the configuration that runs.
#[non_exhaustive]
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ConfigLine {
    /// The file, or another name of the place.
    pub file: String,
    /// The number of the line, from 1. 0 if the place has no lines.
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

/// Reads and sets the level of the program's log. If a method panics, the request is answered with 500, and the status shows no level.
pub trait LogLevels: fmt::Debug + Send + Sync {
    /// The level in force, as the status shows it.
    fn level(&self) -> String;

    /// Whether there is this level.
    ///
    /// # Errors
    ///
    /// A message that names the levels there are.
    fn check_level(&self, level: &str) -> Result<(), String>;

    /// Sets the level until the process ends or it is set again. `default` is the configuration's.
    ///
    /// # Errors
    ///
    /// Those of [`check_level`](Self::check_level).
    fn set_level(&self, level: &str) -> Result<(), String>;
}

shared!(LogLevels);

/// Returns the lines of the configuration that runs.
type ConfigFn = dyn Fn() -> Vec<ConfigLine> + Send + Sync;

/// What the embedding program adds to the answers.
#[derive(Clone)]
pub(crate) struct Program {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) config: Option<Arc<ConfigFn>>,
    pub(crate) log_levels: Option<NamedLevels>,
    /// What has set the level, if not the configuration.
    log_level_by: Arc<Mutex<Option<String>>>,
}

impl Program {
    pub(super) fn new(name: &str, version: &str) -> Self {
        Self {
            name: name.to_owned(),
            version: version.to_owned(),
            config: None,
            log_levels: None,
            log_level_by: Arc::default(),
        }
    }

    pub(crate) fn log_level_by(&self) -> Option<String> {
        self.lock_by().clone()
    }

    pub(crate) fn set_log_level_by(&self, by: Option<String>) {
        *self.lock_by() = by;
    }

    /// No code that can panic runs under the lock.
    fn lock_by(&self) -> MutexGuard<'_, Option<String>> {
        let by = self.log_level_by.lock();
        by.unwrap_or_else(PoisonError::into_inner)
    }

    /// The level in force. `None` also if the program's code panics, which `handle` notes: the rest of a status is right.
    pub(crate) fn log_level(&self, handle: &Handle) -> Option<String> {
        let levels = self.log_levels.as_ref()?;
        let level = catch(LEVEL, || levels.level());
        level
            .inspect_err(|panicked| handle.note_panic(panicked))
            .ok()
    }
}

/// The program's [`LogLevels`], whose panics have names.
#[derive(Clone)]
pub(crate) struct NamedLevels(pub(super) Arc<dyn LogLevels>);

const LEVEL: &str = "LogLevels::level";

impl NamedLevels {
    pub(crate) fn level(&self) -> String {
        named(LEVEL, || self.0.level())
    }

    pub(crate) fn check_level(&self, level: &str) -> Result<(), String> {
        named("LogLevels::check_level", || self.0.check_level(level))
    }

    pub(crate) fn set_level(&self, level: &str) -> Result<(), String> {
        named("LogLevels::set_level", || self.0.set_level(level))
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
