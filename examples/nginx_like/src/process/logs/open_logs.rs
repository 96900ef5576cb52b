//! The logs of a configuration, open.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;

use super::configured::{access_keys, levels_of, syslog_place};
use super::filter::{filter, targets};
use crate::config::error_log::LogLevel;
use crate::config::main::Config;
use crate::logs::sink::Sink;
use crate::logs::sinks::{SinkKey, Sinks};
use crate::process::error::StartError;
use crate::process::files::access::FileAccess;

/// How long the end of a log, or of the process, waits until a reader or a disk has taken the last messages.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// Logs that are open, each once.
#[derive(Clone, Debug)]
pub(crate) struct Logs {
    pub(super) sinks: Sinks,
    /// The logs that messages about no session go to.
    pub(super) messages: Arc<[Log]>,
    /// Whether hooks write the lines about sessions.
    has_hooks: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Log {
    pub(super) level: LogLevel,
    pub(super) sink: Arc<Sink>,
}

impl Logs {
    /// Opens every log of `config`. Without any, messages from `notice` on go to the standard error stream.
    pub(crate) fn open(config: &Config, files: &FileAccess) -> Result<Self, StartError> {
        Self::none().changed(config, files)
    }

    /// Messages from `notice` on go to the standard error stream, those of lb-proxy about sessions too: for a server
    /// without a configuration.
    pub(crate) fn stderr() -> Result<Self, StartError> {
        let sink = Sink::stderr().map(Arc::new).map_err(StartError::Thread)?;
        Ok(Self {
            sinks: [(SinkKey::Stderr, Arc::clone(&sink))].into_iter().collect(),
            messages: Arc::new([Log {
                level: LogLevel::Notice,
                sink,
            }]),
            has_hooks: false,
        })
    }

    fn none() -> Self {
        Self {
            sinks: Sinks::default(),
            messages: Arc::new([]),
            has_hooks: true,
        }
    }

    /// The logs of sessions.
    pub(crate) const fn sinks(&self) -> &Sinks {
        &self.sinks
    }

    /// The logs of `config`. Logs that are open already are reused.
    pub(super) fn changed(&self, config: &Config, files: &FileAccess) -> Result<Self, StartError> {
        let levels = levels_of(config);
        let needs_stderr = levels.is_empty().then_some(SinkKey::Stderr);
        let keys: HashSet<_> = levels
            .keys()
            .cloned()
            .chain(needs_stderr)
            .chain(access_keys(config))
            .collect();
        let opened = keys.into_iter().map(|key| {
            let sink = self.sink(&key, config, files)?;
            Ok((key, sink))
        });
        let sinks = opened.collect::<Result<Sinks, StartError>>()?;
        let sinks = sinks.with_level(self.sinks.level());
        let default = levels
            .is_empty()
            .then_some((SinkKey::Stderr, LogLevel::Notice));
        let messages = levels
            .into_iter()
            .chain(default)
            .filter_map(|(key, level)| {
                let sink = Arc::clone(sinks.get(&key)?);
                Some(Log { level, sink })
            });
        Ok(Self {
            messages: messages.collect(),
            sinks,
            has_hooks: true,
        })
    }

    fn sink(
        &self,
        key: &SinkKey,
        config: &Config,
        files: &FileAccess,
    ) -> Result<Arc<Sink>, StartError> {
        if let Some(sink) = self.sinks.get(key) {
            return Ok(Arc::clone(sink));
        }
        let open = |path: &Path| files.open_log(path).map_err(StartError::open(path));
        let sink = match key {
            SinkKey::Access(path, buffer) => Sink::access(path, open(path)?, *buffer),
            SinkKey::Error(path) => Sink::start(Some(path), open(path)?),
            SinkKey::Paths(text, cache) => Sink::paths(text, *cache),
            SinkKey::Stderr => Sink::stderr(),
            SinkKey::Syslog(syslog) => {
                let socket = syslog.connect().map_err(|source| StartError::Syslog {
                    source,
                    span: syslog_place(config, syslog),
                })?;
                Sink::syslog(syslog, socket)
            }
        };
        sink.map(Arc::new).map_err(StartError::Thread)
    }

    pub(super) fn flush(&self) {
        flush(self.sinks.all().map(|(_, sink)| sink));
    }

    /// The messages that at least one of the logs takes.
    pub(super) fn filter(&self) -> Targets {
        let level = self.least_level().map_or(LevelFilter::OFF, filter);
        targets(level, self.has_hooks)
    }

    /// The level of the log that takes most messages. `None` without logs.
    pub(super) fn least_level(&self) -> Option<LogLevel> {
        self.messages.iter().map(|log| self.level_of(log)).min()
    }

    pub(super) fn level_of(&self, log: &Log) -> LogLevel {
        self.sinks.level().or(log.level)
    }
}

pub(super) fn flush<'a>(sinks: impl Iterator<Item = &'a Arc<Sink>>) {
    let deadline = Instant::now() + FLUSH_TIMEOUT;
    for sink in sinks {
        sink.flush(deadline);
    }
}
