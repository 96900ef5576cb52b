//! `error_log`: the destinations of messages, and their levels.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use lb_core::Escaped;
use lb_proxy::admin::LogLevels;
use tracing::{error, info};
use tracing_subscriber::Registry;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::layer;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt;

use super::event_line::EventFormat;
use super::message_writer::CurrentLogs;
use super::open_logs::{Logs, flush};
use crate::config::error_log::LogLevel;
use crate::config::main::Config;
use crate::logs::line::line;
use crate::logs::sink::Sink;
use crate::logs::sinks::{SinkKey, Sinks};
use crate::process::error::StartError;
use crate::process::files::access::FileAccess;
use crate::process::files::file_threads::FileThreads;

type Opened = Vec<(SinkKey, Weak<Sink>)>;

/// The logs that messages go to now.
#[derive(Clone, Debug)]
pub(crate) struct Logging {
    logs: CurrentLogs,
    /// The logs that were opened. Sessions of earlier configurations keep theirs.
    opened: Arc<Mutex<Opened>>,
    filter: reload::Handle<Targets, Registry>,
    /// Held while the logs or their levels change, and the filter with them.
    changing: Arc<Mutex<()>>,
}

impl Logging {
    /// Installs `logs` as the destination of all messages.
    pub(crate) fn install(logs: Logs) -> Self {
        let (filter, handle) = reload::Layer::new(logs.filter());
        let opened = opened(&logs.sinks).collect();
        let logs = CurrentLogs::new(logs);
        let written = layer()
            .event_format(EventFormat::new())
            .with_writer(logs.clone());
        // Fails only if the process has a subscriber already, which then gets the messages.
        let _ = tracing_subscriber::registry()
            .with(filter)
            .with(written)
            .try_init();
        Self {
            logs,
            opened: Arc::new(Mutex::new(opened)),
            filter: handle,
            changing: Arc::default(),
        }
    }

    /// Opens the logs of another configuration, for [`replace`](Self::replace).
    pub(crate) fn open(&self, config: &Config, files: &FileAccess) -> Result<Logs, StartError> {
        self.now().changed(config, files)
    }

    /// Sends all further messages to `logs`.
    pub(crate) fn replace(&self, logs: Logs) {
        self.note_opened(&logs.sinks);
        let before = self.change(|| self.logs.replace(logs));
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
        self.logs.logs()
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
