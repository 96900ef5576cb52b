//! `error_log`: where messages go, and which.

use std::collections::{BTreeMap, HashSet};
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::time::{Duration, Instant};

use lb_core::Escaped;
use lb_proxy::admin::LogLevels;
use lb_proxy::events::AUDIT_TARGET;
use tracing::level_filters::LevelFilter;
use tracing::{Metadata, error, info};
use tracing_subscriber::Registry;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::layer;
use tracing_subscriber::fmt::writer::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt;

use super::configured::{access_keys, levels_of, syslog_place};
use super::event_line::{EventFormat, severity};
use super::filter::{filter, targets};
use crate::config::error_log::LogLevel;
use crate::config::main::Config;
use crate::logs::line::line;
use crate::logs::sink::Sink;
use crate::logs::sinks::{SinkKey, Sinks};
use crate::process::error::StartError;
use crate::process::files::access::FileAccess;
use crate::process::files::file_threads::FileThreads;

/// How long the end of a log, or of the process, waits until a reader or a disk has taken the last messages.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// Logs that are open, each once.
#[derive(Clone, Debug)]
pub(crate) struct Logs {
    sinks: Sinks,
    /// The logs that messages about no session go to.
    messages: Arc<[Log]>,
    /// Whether hooks write the lines about sessions.
    has_hooks: bool,
}

#[derive(Clone, Debug)]
struct Log {
    level: LogLevel,
    sink: Arc<Sink>,
}

type Opened = Vec<(SinkKey, Weak<Sink>)>;

/// The logs that messages go to now.
#[derive(Clone, Debug)]
pub(crate) struct Logging {
    logs: Arc<RwLock<Logs>>,
    /// The logs that were opened. Sessions of earlier configurations keep theirs.
    opened: Arc<Mutex<Opened>>,
    filter: reload::Handle<Targets, Registry>,
    /// Held while the logs or their levels change, and the filter with them.
    changing: Arc<Mutex<()>>,
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
    fn changed(&self, config: &Config, files: &FileAccess) -> Result<Self, StartError> {
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

    fn flush(&self) {
        flush(self.sinks.all().map(|(_, sink)| sink));
    }

    /// Installs the logs as the destination of all messages.
    pub(crate) fn install(self) -> Logging {
        let (filter, handle) = reload::Layer::new(self.filter());
        let opened = opened(&self.sinks).collect();
        let logs = Arc::new(RwLock::new(self));
        let written = layer()
            .event_format(EventFormat::new())
            .with_writer(CurrentLogs(Arc::clone(&logs)));
        // Fails only if the process has a subscriber already, which then gets the messages.
        let _ = tracing_subscriber::registry()
            .with(filter)
            .with(written)
            .try_init();
        Logging {
            logs,
            opened: Arc::new(Mutex::new(opened)),
            filter: handle,
            changing: Arc::default(),
        }
    }

    /// The messages that at least one of the logs takes.
    fn filter(&self) -> Targets {
        let level = self.least_level().map_or(LevelFilter::OFF, filter);
        targets(level, self.has_hooks)
    }

    /// The level of the log that takes most messages. `None` without logs.
    fn least_level(&self) -> Option<LogLevel> {
        self.messages.iter().map(|log| self.level_of(log)).min()
    }

    fn level_of(&self, log: &Log) -> LogLevel {
        self.sinks.level().or(log.level)
    }
}

impl Logging {
    /// Opens the logs of another configuration, for [`replace`](Self::replace).
    pub(crate) fn open(&self, config: &Config, files: &FileAccess) -> Result<Logs, StartError> {
        self.now().changed(config, files)
    }

    /// Sends all further messages to `logs`.
    pub(crate) fn replace(&self, logs: Logs) {
        self.note_opened(&logs.sinks);
        let before = self.change(|| {
            let mut now = self.logs.write().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *now, logs)
        });
        before.flush();
    }

    /// Changes the logs or their levels, and the filter with them.
    fn change<T>(&self, change: impl FnOnce() -> T) -> T {
        let _changing = self.changing.lock();
        let changed = change();
        // Fails only if another subscriber has the messages.
        let _ = self.filter.reload(self.now().filter());
        changed
    }

    /// Opens the files again by their names, after a log rotation, also those that only sessions of an earlier configuration
    /// write to. If a file cannot be opened, its log keeps the old file.
    ///
    /// Earlier messages go to the old file, later messages to the new file. Blocks on files.
    pub(crate) fn reopen(&self, files: &Arc<FileAccess>, threads: &FileThreads) {
        for (key, sink) in self.alive() {
            let Some(path) = sink.path() else {
                if matches!(key, SinkKey::Paths(..)) {
                    sink.reopen(None);
                }
                continue;
            };
            let (files, opened) = (Arc::clone(files), path.to_owned());
            let opened = threads.run(move || files.open_log(&opened));
            match opened.flatten() {
                Ok(file) => {
                    sink.reopen(Some(file));
                    info!(path = %path.display(), "Log reopened");
                }
                Err(error) => {
                    error!(path = %path.display(), %error, "Log not reopened, the old file is kept");
                }
            }
        }
    }

    /// Writes why the server does not start to all logs but the standard error stream, which the command line writes to.
    pub(crate) fn write_failed_start(&self, error: &StartError) {
        let logs = self.now();
        let line = line(LogLevel::Emerg, format_args!("{}", Escaped(error)));
        let stderr = logs.sinks.get(&SinkKey::Stderr);
        for log in &*logs.messages {
            if !stderr.is_some_and(|stderr| Arc::ptr_eq(stderr, &log.sink)) {
                log.sink.push(Some(LogLevel::Emerg), line.as_bytes());
            }
        }
    }

    /// Waits until the threads of the logs have written all messages, at most for a second.
    pub(crate) fn flush(&self) {
        flush(self.alive().iter().map(|(_, sink)| sink));
    }

    fn note_opened(&self, sinks: &Sinks) {
        let mut known = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|(_, sink)| sink.strong_count() > 0);
        let added: Vec<_> = opened(sinks)
            .filter(|(_, sink)| !known.iter().any(|(_, other)| other.ptr_eq(sink)))
            .collect();
        known.extend(added);
    }

    /// How many messages have not reached each open log, by its name in messages.
    pub(crate) fn missing(&self) -> BTreeMap<Arc<str>, u64> {
        let mut logs = BTreeMap::new();
        for (_, sink) in self.alive() {
            let (name, missing) = sink.missing();
            *logs.entry(Arc::clone(name)).or_default() += missing;
        }
        logs
    }

    /// The logs that something writes to, now or at the end of its session.
    fn alive(&self) -> Vec<(SinkKey, Arc<Sink>)> {
        let known = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        let alive = known.iter();
        alive
            .filter_map(|(key, sink)| Some((key.clone(), sink.upgrade()?)))
            .collect()
    }

    fn now(&self) -> Logs {
        CurrentLogs(Arc::clone(&self.logs)).logs()
    }
}

impl LogLevels for Logging {
    /// That of the log that takes most messages.
    fn level(&self) -> String {
        let least = self.now().least_level();
        least.map_or("off", LogLevel::name).to_owned()
    }

    fn check_level(&self, level: &str) -> Result<(), String> {
        set_level(level).map(drop)
    }

    fn set_level(&self, level: &str) -> Result<(), String> {
        let level = set_level(level)?;
        self.change(|| self.now().sinks.level().set(level));
        Ok(())
    }
}

/// The level that an operator means. `None` is that of each log.
fn set_level(level: &str) -> Result<Option<LogLevel>, String> {
    let named = LogLevel::named(level);
    match named.is_some() || level == "default" {
        true => Ok(named),
        false => Err(format!(
            "there is no level \"{}\": write debug, info, notice, warn, error, crit, alert or emerg, or default for the levels of the configuration",
            Escaped(level)
        )),
    }
}

fn opened(sinks: &Sinks) -> impl Iterator<Item = (SinkKey, Weak<Sink>)> {
    let all = sinks.all();
    all.map(|(key, sink)| (key.clone(), Arc::downgrade(sink)))
}

fn flush<'a>(sinks: impl Iterator<Item = &'a Arc<Sink>>) {
    let deadline = Instant::now() + FLUSH_TIMEOUT;
    for sink in sinks {
        sink.flush(deadline);
    }
}

/// Writes to the logs that are installed at the time of the message.
struct CurrentLogs(Arc<RwLock<Logs>>);

impl CurrentLogs {
    fn logs(&self) -> Logs {
        let logs = self.0.read().unwrap_or_else(PoisonError::into_inner);
        logs.clone()
    }
}

impl MakeWriter<'_> for CurrentLogs {
    type Writer = MessageWriter;

    fn make_writer(&self) -> MessageWriter {
        MessageWriter {
            logs: self.logs(),
            level: LogLevel::Error,
            is_audit: false,
        }
    }

    fn make_writer_for(&self, message: &Metadata<'_>) -> MessageWriter {
        MessageWriter {
            logs: self.logs(),
            level: severity(message),
            is_audit: message.target() == AUDIT_TARGET,
        }
    }
}

/// Writes one message.
struct MessageWriter {
    logs: Logs,
    level: LogLevel,
    /// Whether it is about a change that an operator made: no level keeps it out.
    is_audit: bool,
}

impl Write for MessageWriter {
    fn write(&mut self, message: &[u8]) -> io::Result<usize> {
        let logs = self.logs.messages.iter();
        for log in logs.filter(|log| self.is_audit || self.logs.level_of(log) <= self.level) {
            log.sink.push(Some(self.level), message);
        }
        Ok(message.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
