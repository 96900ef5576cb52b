//! `error_log`: where messages go, and which.

use std::collections::HashMap;
use std::fs::OpenOptions;
use std::io;
use std::sync::Arc;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt::{layer, writer::BoxMakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry};

use crate::config::{Config, LogLevel, LogTarget};
use crate::error::StartError;

type BoxLayer = Box<dyn Layer<Registry> + Send + Sync>;

/// Opens every log of `config`. Without any, messages from `notice` on go to the standard error stream.
pub(crate) fn open(config: &Config) -> Result<(), StartError> {
    let servers = config.stream.iter().flat_map(|stream| &stream.servers);
    let logs = config
        .error_logs
        .iter()
        .chain(servers.flat_map(|server| &server.error_logs));
    // Blocks inherit logs from one another: each is opened once, at its most talkative level.
    let mut levels: HashMap<&LogTarget, LogLevel> = HashMap::new();
    for log in logs {
        let level = levels.entry(&log.target).or_insert(log.level);
        *level = (*level).min(log.level);
    }
    if levels.is_empty() {
        levels.insert(&LogTarget::Stderr, LogLevel::Notice);
    }
    let layers = levels
        .into_iter()
        .map(|(target, level)| Ok(written_to(writer(target)?, level)))
        .collect::<Result<Vec<_>, StartError>>()?;
    install(layers);
    Ok(())
}

/// Sends messages from `notice` on to the standard error stream.
pub(crate) fn to_stderr() {
    let writer = BoxMakeWriter::new(io::stderr);
    install(vec![written_to(writer, LogLevel::Notice)]);
}

fn install(layers: Vec<BoxLayer>) {
    // Fails only if the process has a subscriber already, which then gets the messages.
    let _ = tracing_subscriber::registry().with(layers).try_init();
}

fn writer(target: &LogTarget) -> Result<BoxMakeWriter, StartError> {
    match target {
        LogTarget::File(path) => {
            let file = OpenOptions::new().append(true).create(true).open(path);
            let file = file.map_err(|source| StartError::Open {
                path: path.clone(),
                source,
            })?;
            Ok(BoxMakeWriter::new(Arc::new(file)))
        }
        LogTarget::Stderr => Ok(BoxMakeWriter::new(io::stderr)),
    }
}

fn written_to(writer: BoxMakeWriter, level: LogLevel) -> BoxLayer {
    layer()
        .with_ansi(false)
        .with_target(false)
        .with_writer(writer)
        .with_filter(filter(level))
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
