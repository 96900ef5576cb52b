//! The logs that are open, each once.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::level::LevelOverride;
use super::path_cache::FileCacheSettings;
use super::sink::{LogBuffer, Sink};
use super::syslog::Syslog;

/// What a log is.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) enum SinkKey {
    /// An access log in one file.
    Access(PathBuf, Option<LogBuffer>),
    /// An error log in one file.
    Error(PathBuf),
    /// An access log in files whose names are the values of a text.
    Paths(Box<str>, Option<FileCacheSettings>),
    Stderr,
    Syslog(Syslog),
}

/// The logs that are open. Cloning gives another handle of the same logs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sinks {
    logs: Arc<HashMap<SinkKey, Arc<Sink>>>,
    level: Arc<LevelOverride>,
}

impl Sinks {
    pub(crate) fn get(&self, key: &SinkKey) -> Option<&Arc<Sink>> {
        self.logs.get(key)
    }

    /// The level of all error logs, if one is set.
    pub(crate) const fn level(&self) -> &Arc<LevelOverride> {
        &self.level
    }

    /// These logs with the level that is set by `level`.
    pub(crate) fn with_level(mut self, level: &Arc<LevelOverride>) -> Self {
        self.level = Arc::clone(level);
        self
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = (&SinkKey, &Arc<Sink>)> {
        self.logs.iter()
    }
}

impl FromIterator<(SinkKey, Arc<Sink>)> for Sinks {
    fn from_iter<I: IntoIterator<Item = (SinkKey, Arc<Sink>)>>(sinks: I) -> Self {
        Self {
            logs: Arc::new(sinks.into_iter().collect()),
            level: Arc::default(),
        }
    }
}
