//! `error_log`: where messages go, and which.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use tracing::level_filters::LevelFilter;
use tracing::{Metadata, info, warn};
use tracing_subscriber::Registry;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::layer;
use tracing_subscriber::fmt::writer::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{Config, LogLevel, LogTarget};
use crate::error::StartError;

/// Its own words say less than ours and name nothing of the configuration.
const DNS_CLIENT: &str = "hickory";

/// Logs that are open, each once.
#[derive(Clone, Debug)]
pub(crate) struct Logs(Arc<[Log]>);

#[derive(Clone, Debug)]
struct Log {
    level: LogLevel,
    /// `None` is the standard error stream.
    file: Option<Arc<LogFile>>,
}

/// The logs that messages go to now.
#[derive(Debug)]
pub(crate) struct Logging {
    logs: Arc<RwLock<Logs>>,
    filter: reload::Handle<Targets, Registry>,
}

impl Logs {
    /// Opens every log of `config`. Without any, messages from `notice` on go to the standard error stream.
    pub(crate) fn open(config: &Config) -> Result<Self, StartError> {
        Self(Arc::new([])).changed(config)
    }

    /// Messages from `notice` on go to the standard error stream.
    pub(crate) fn stderr() -> Self {
        Self(Arc::new([Log {
            level: LogLevel::Notice,
            file: None,
        }]))
    }

    /// The logs of `config`. Files that are open already are not opened again.
    fn changed(&self, config: &Config) -> Result<Self, StartError> {
        let levels = levels_of(config);
        if levels.is_empty() {
            return Ok(Self::stderr());
        }
        let logs = levels.into_iter().map(|(path, level)| {
            let file = path.map(|path| self.file(path)).transpose()?;
            Ok(Log { level, file })
        });
        logs.collect::<Result<Arc<[Log]>, StartError>>().map(Self)
    }

    fn file(&self, path: &Path) -> Result<Arc<LogFile>, StartError> {
        let mut open = self.0.iter().filter_map(|log| log.file.as_ref());
        match open.find(|file| file.path == path) {
            Some(file) => Ok(Arc::clone(file)),
            None => LogFile::open(path).map(Arc::new),
        }
    }

    /// Sends what happens from now on to the logs.
    pub(crate) fn install(self) -> Logging {
        let (filter, handle) = reload::Layer::new(self.filter());
        let logs = Arc::new(RwLock::new(self));
        let written = layer()
            .with_ansi(false)
            .with_target(false)
            .with_writer(Current(Arc::clone(&logs)));
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

    /// What any of the logs wants.
    fn filter(&self) -> Targets {
        let levels = self.0.iter().map(|log| filter(log.level));
        targets(levels.max().unwrap_or(LevelFilter::OFF))
    }
}

impl Logging {
    /// Opens the logs of another configuration, for [`replace`](Self::replace).
    pub(crate) fn open(&self, config: &Config) -> Result<Logs, StartError> {
        self.now().changed(config)
    }

    /// Messages go to `logs` from now on.
    pub(crate) fn replace(&self, logs: Logs) {
        let filter = logs.filter();
        *self.logs.write().unwrap_or_else(PoisonError::into_inner) = logs;
        // Fails only if another subscriber has the messages.
        let _ = self.filter.reload(filter);
    }

    /// Opens the files again by their names, after a log rotation. One that cannot be opened is written on.
    pub(crate) fn reopen(&self) {
        let logs = self.now();
        for file in logs.0.iter().filter_map(|log| log.file.as_ref()) {
            match file.reopen() {
                Ok(()) => info!(path = %file.path.display(), "Log reopened"),
                Err(error) => {
                    warn!(path = %file.path.display(), %error, "Log cannot be reopened, writing on");
                }
            }
        }
    }

    fn now(&self) -> Logs {
        Current(Arc::clone(&self.logs)).logs()
    }
}

/// The files of all `error_log` directives, `None` being the standard error stream. Blocks inherit logs from one
/// another: each is opened once, at its most talkative level.
fn levels_of(config: &Config) -> BTreeMap<Option<&Path>, LogLevel> {
    let servers = config.stream.iter().flat_map(|stream| &stream.servers);
    let of_servers = servers.flat_map(|server| &server.error_logs);
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

/// A log file that can be opened again while it is written to.
#[derive(Debug)]
struct LogFile {
    path: PathBuf,
    file: RwLock<Arc<File>>,
}

impl LogFile {
    fn open(path: &Path) -> Result<Self, StartError> {
        let file = append_to(path).map_err(StartError::open(path))?;
        Ok(Self {
            path: path.to_owned(),
            file: RwLock::new(Arc::new(file)),
        })
    }

    fn reopen(&self) -> io::Result<()> {
        let file = Arc::new(append_to(&self.path)?);
        *self.file.write().unwrap_or_else(PoisonError::into_inner) = file;
        Ok(())
    }

    fn now(&self) -> Arc<File> {
        Arc::clone(&self.file.read().unwrap_or_else(PoisonError::into_inner))
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}

/// Writes to whatever logs there are now.
struct Current(Arc<RwLock<Logs>>);

impl Current {
    fn logs(&self) -> Logs {
        let logs = self.0.read().unwrap_or_else(PoisonError::into_inner);
        logs.clone()
    }
}

impl MakeWriter<'_> for Current {
    type Writer = Writer;

    fn make_writer(&self) -> Writer {
        Writer {
            logs: self.logs(),
            level: LevelFilter::ERROR,
        }
    }

    fn make_writer_for(&self, message: &Metadata<'_>) -> Writer {
        Writer {
            logs: self.logs(),
            level: LevelFilter::from_level(*message.level()),
        }
    }
}

/// Writes one message.
struct Writer {
    logs: Logs,
    level: LevelFilter,
}

impl Write for Writer {
    /// A log that cannot be written to does not keep the message from the others.
    fn write(&mut self, message: &[u8]) -> io::Result<usize> {
        let wanting = self.logs.0.iter();
        for log in wanting.filter(|log| filter(log.level) >= self.level) {
            let _ = match &log.file {
                Some(file) => (&*file.now()).write_all(message),
                None => io::stderr().write_all(message),
            };
        }
        Ok(message.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Ours. Libraries name nothing of the configuration, and what they find wrong is an error that one of these logs.
const OURS: [&str; 4] = ["lb_core", "lb_discovery", "lb_proxy", "nginx_like"];

/// What is logged at `level`. Libraries take part at `debug` only: that is for the search for a fault.
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
