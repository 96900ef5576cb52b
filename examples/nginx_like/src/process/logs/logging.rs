//! `error_log`: where messages go, and which.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use lb_proxy::events::FAILURES_TARGET;
use tracing::level_filters::LevelFilter;
use tracing::{Metadata, error, info};
use tracing_subscriber::Registry;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::layer;
use tracing_subscriber::fmt::writer::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt;

use super::line::{LineFormat, severity};
use super::sink::Sink;
use crate::config::error_log::{LogLevel, LogTarget};
use crate::config::main::Config;
use crate::process::error::StartError;
use crate::process::files::access::FileAccess;
use crate::process::files::file_threads::FileThreads;

/// How long the end of a log, or of the process, waits until a reader or a disk has taken the last messages.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// Its messages say less than ours and name nothing of the configuration.
const DNS_CLIENT: &str = "hickory";

/// Logs that are open, each once.
#[derive(Clone, Debug)]
pub(crate) struct Logs(Arc<[Log]>);

#[derive(Clone, Debug)]
struct Log {
    level: LogLevel,
    sink: Arc<Sink>,
}

/// The logs that messages go to now.
#[derive(Clone, Debug)]
pub(crate) struct Logging {
    logs: Arc<RwLock<Logs>>,
    filter: reload::Handle<Targets, Registry>,
}

impl Logs {
    /// Opens every log of `config`. Without any, messages from `notice` on go to the standard error stream.
    pub(crate) fn open(config: &Config, files: &FileAccess) -> Result<Self, StartError> {
        Self(Arc::new([])).changed(config, files)
    }

    /// Messages from `notice` on go to the standard error stream.
    pub(crate) fn stderr() -> Result<Self, StartError> {
        let log = Log {
            level: LogLevel::Notice,
            sink: Sink::stderr().map(Arc::new).map_err(StartError::Thread)?,
        };
        Ok(Self(Arc::new([log])))
    }

    /// The logs of `config`. Files that are open already are reused.
    fn changed(&self, config: &Config, files: &FileAccess) -> Result<Self, StartError> {
        let levels = levels_of(config);
        if levels.is_empty() {
            return Self::stderr();
        }
        let logs = levels.into_iter().map(|(path, level)| {
            let sink = self.sink(path, files)?;
            Ok(Log { level, sink })
        });
        logs.collect::<Result<Arc<[Log]>, StartError>>().map(Self)
    }

    fn sink(&self, path: Option<&Path>, files: &FileAccess) -> Result<Arc<Sink>, StartError> {
        let mut open = self.0.iter().map(|log| &log.sink);
        if let Some(sink) = open.find(|sink| sink.path() == path) {
            return Ok(Arc::clone(sink));
        }
        let sink = match path {
            Some(path) => {
                let file = files.open_log(path).map_err(StartError::open(path))?;
                Sink::start(Some(path), file)
            }
            None => Sink::stderr(),
        };
        sink.map(Arc::new).map_err(StartError::Thread)
    }

    fn flush(&self) {
        let deadline = Instant::now() + FLUSH_TIMEOUT;
        for log in &*self.0 {
            log.sink.flush(deadline);
        }
    }

    /// Installs the logs as the destination of all messages.
    pub(crate) fn install(self) -> Logging {
        let (filter, handle) = reload::Layer::new(self.filter());
        let logs = Arc::new(RwLock::new(self));
        let written = layer()
            .event_format(LineFormat::new())
            .with_writer(CurrentLogs(Arc::clone(&logs)));
        // Fails only if the process has a subscriber already, which then gets the messages.
        let _ = tracing_subscriber::registry()
            .with(filter)
            .with(written)
            .try_init();
        Logging {
            logs,
            filter: handle,
        }
    }

    /// The messages that at least one of the logs takes.
    fn filter(&self) -> Targets {
        let levels = self.0.iter().map(|log| filter(log.level));
        targets(levels.max().unwrap_or(LevelFilter::OFF))
    }
}

impl Logging {
    /// Opens the logs of another configuration, for [`replace`](Self::replace).
    pub(crate) fn open(&self, config: &Config, files: &FileAccess) -> Result<Logs, StartError> {
        self.now().changed(config, files)
    }

    /// Sends all further messages to `logs`.
    pub(crate) fn replace(&self, logs: Logs) {
        let filter = logs.filter();
        let before = {
            let mut now = self.logs.write().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *now, logs)
        };
        // Fails only if another subscriber has the messages.
        let _ = self.filter.reload(filter);
        before.flush();
    }

    /// Opens the files again by their names, after a log rotation. If a file cannot be opened, its log keeps the old file.
    ///
    /// Earlier messages go to the old file, later messages to the new file. Blocks on files.
    pub(crate) fn reopen(&self, files: &Arc<FileAccess>, threads: &FileThreads) {
        for Log { sink, .. } in &*self.now().0 {
            let Some(path) = sink.path() else { continue };
            let (files, opened) = (Arc::clone(files), path.to_owned());
            let opened = threads.run(move || files.open_log(&opened));
            match opened.flatten() {
                Ok(file) => {
                    sink.switch(file);
                    info!(path = %path.display(), "Log reopened");
                }
                Err(error) => {
                    error!(path = %path.display(), %error, "Log not reopened, the old file is kept");
                }
            }
        }
    }

    /// Waits until the threads of the logs have written all messages, at most for a second.
    pub(crate) fn flush(&self) {
        self.now().flush();
    }

    fn now(&self) -> Logs {
        CurrentLogs(Arc::clone(&self.logs)).logs()
    }
}

/// The files of all `error_log` directives.
pub(crate) fn paths_of(config: &Config) -> impl Iterator<Item = PathBuf> {
    let paths = levels_of(config).into_keys().flatten();
    paths.map(Path::to_owned).collect::<Vec<_>>().into_iter()
}

/// Whether messages go to the standard error stream.
pub(crate) fn writes_to_stderr(config: &Config) -> bool {
    let levels = levels_of(config);
    levels.is_empty() || levels.contains_key(&None)
}

/// The files of all `error_log` directives; `None` is the standard error stream. Blocks inherit logs from each other:
/// each is opened once, at its least severe level.
fn levels_of(config: &Config) -> BTreeMap<Option<&Path>, LogLevel> {
    let servers = config.stream.iter().flat_map(|stream| &stream.servers);
    let of_servers = servers.flat_map(|server| &server.settings.error_logs);
    let mut levels = BTreeMap::new();
    for log in config.error_logs.iter().chain(of_servers) {
        let path = match &log.target {
            LogTarget::File(path) => Some(&**path),
            LogTarget::Stderr => None,
        };
        let level = levels.entry(path).or_insert(log.level);
        *level = (*level).min(log.level);
    }
    levels
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
            level: LevelFilter::ERROR,
        }
    }

    fn make_writer_for(&self, message: &Metadata<'_>) -> MessageWriter {
        MessageWriter {
            logs: self.logs(),
            level: LevelFilter::from_level(severity(message)),
        }
    }
}

/// Writes one message.
struct MessageWriter {
    logs: Logs,
    level: LevelFilter,
}

impl Write for MessageWriter {
    fn write(&mut self, message: &[u8]) -> io::Result<usize> {
        let logs = self.logs.0.iter();
        for log in logs.filter(|log| filter(log.level) >= self.level) {
            log.sink.push(message);
        }
        Ok(message.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Our crates. Other libraries name nothing of the configuration, and their errors are logged by one of these.
const OURS: [&str; 4] = ["lb_core", "lb_discovery", "lb_proxy", "nginx_like"];

/// The messages that are logged at `level`. Those of other libraries are logged at `debug` only, for the search of faults.
fn targets(level: LevelFilter) -> Targets {
    let foreign = if level >= LevelFilter::DEBUG {
        level
    } else {
        LevelFilter::OFF
    };
    let ours = OURS.map(|target| (target, level));
    Targets::new()
        .with_default(foreign)
        .with_target(DNS_CLIENT, LevelFilter::OFF)
        .with_targets(ours)
        // Their warnings are errors in the log; see `severity`.
        .with_target(FAILURES_TARGET, LevelFilter::WARN.max(level))
}

/// tracing has no `notice` and nothing above `error`.
const fn filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Info | LogLevel::Notice => LevelFilter::INFO,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Error | LogLevel::Crit | LogLevel::Alert | LogLevel::Emerg => LevelFilter::ERROR,
    }
}
