//! The logs that are open, each once.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

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
pub(crate) struct Sinks(Arc<HashMap<SinkKey, Arc<Sink>>>);

impl Sinks {
    pub(crate) fn get(&self, key: &SinkKey) -> Option<&Arc<Sink>> {
        self.0.get(key)
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = (&SinkKey, &Arc<Sink>)> {
        self.0.iter()
    }
}

impl FromIterator<(SinkKey, Arc<Sink>)> for Sinks {
    fn from_iter<I: IntoIterator<Item = (SinkKey, Arc<Sink>)>>(sinks: I) -> Self {
        Self(Arc::new(sinks.into_iter().collect()))
    }
}
