//! `error_log`: where messages go, and which.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use tracing::level_filters::LevelFilter;
use tracing::{info, warn};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::layer;
use tracing_subscriber::fmt::writer::{BoxMakeWriter, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry};

use crate::config::{Config, LogLevel, LogTarget};
use crate::error::StartError;

type BoxLayer = Box<dyn Layer<Registry> + Send + Sync>;

/// The logs that are open.
#[derive(Debug)]
pub(crate) struct Logs {
    files: Vec<Arc<LogFile>>,
    targets: Vec<(LogTarget, LogLevel)>,
}

impl Logs {
    /// Opens every log of `config`. Without any, messages from `notice` on go to the standard error stream.
    pub(crate) fn open(config: &Config) -> Result<Self, StartError> {
        let levels = levels_of(config);
        let mut opened = Self::stderr();
        if levels.is_empty() {
            return Ok(opened);
        }
        opened.targets.clear();
        for (target, level) in levels {
            if let LogTarget::File(path) = &target {
                opened.files.push(Arc::new(LogFile::open(path)?));
            }
            opened.targets.push((target, level));
        }
        Ok(opened)
    }

    /// Whether they are the logs of `config`.
    pub(crate) fn are_of(&self, config: &Config) -> bool {
        let mut levels = levels_of(config);
        if levels.is_empty() {
            levels.extend(Self::stderr().targets);
        }
        levels == self.targets.iter().cloned().collect()
    }

    /// Messages from `notice` on go to the standard error stream.
    pub(crate) fn stderr() -> Self {
        Self {
            files: Vec::new(),
            targets: vec![(LogTarget::Stderr, LogLevel::Notice)],
        }
    }

    /// Sends what happens from now on to the logs.
    pub(crate) fn install(&self) {
        let layers: Vec<BoxLayer> = self
            .targets
            .iter()
            .map(|(target, level)| written_to(self.writer(target), *level))
            .collect();
        // Fails only if the process has a subscriber already, which then gets the messages.
        let _ = tracing_subscriber::registry().with(layers).try_init();
    }

    /// Opens the files again by their names, after a log rotation. One that cannot be opened is written on.
    pub(crate) fn reopen(&self) {
        for file in &self.files {
            match file.reopen() {
                Ok(()) => info!(path = %file.path.display(), "Log reopened"),
                Err(error) => {
                    warn!(path = %file.path.display(), %error, "Log cannot be reopened, writing on");
                }
            }
        }
    }

    fn writer(&self, target: &LogTarget) -> BoxMakeWriter {
        let of_target = |file: &&Arc<LogFile>| *target == LogTarget::File(file.path.clone());
        match self.files.iter().find(of_target) {
            Some(file) => BoxMakeWriter::new(Reopened(Arc::clone(file))),
            None => BoxMakeWriter::new(io::stderr),
        }
    }
}

/// The targets of all `error_log` directives. Blocks inherit logs from one another: each is opened once, at its most
/// talkative level.
fn levels_of(config: &Config) -> HashMap<LogTarget, LogLevel> {
    let servers = config.stream.iter().flat_map(|stream| &stream.servers);
    let of_servers = servers.flat_map(|server| &server.error_logs);
    let mut levels: HashMap<LogTarget, LogLevel> = HashMap::new();
    for log in config.error_logs.iter().chain(of_servers) {
        let level = levels.entry(log.target.clone()).or_insert(log.level);
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
        let file = append_to(path).map_err(|source| StartError::Open {
            path: path.to_owned(),
            source,
        })?;
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
}

/// Writes to whatever file is open now.
struct Reopened(Arc<LogFile>);

impl MakeWriter<'_> for Reopened {
    type Writer = Arc<File>;

    fn make_writer(&self) -> Arc<File> {
        Arc::clone(&self.0.file.read().unwrap_or_else(PoisonError::into_inner))
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}

fn written_to(writer: BoxMakeWriter, level: LogLevel) -> BoxLayer {
    // The DNS client's own words say less than ours and name nothing of the configuration.
    let filter = Targets::new()
        .with_default(filter(level))
        .with_target("hickory", LevelFilter::ERROR.min(filter(level)));
    layer()
        .with_ansi(false)
        .with_target(false)
        .with_writer(writer)
        .with_filter(filter)
        .boxed()
}

/// tracing has no `notice` and nothing above `error`.
fn filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Info | LogLevel::Notice => LevelFilter::INFO,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Error | LogLevel::Crit | LogLevel::Alert | LogLevel::Emerg => LevelFilter::ERROR,
    }
}
