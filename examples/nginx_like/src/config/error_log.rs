//! `error_log`, which is allowed on every level, and `lb_error_log_rate`.

use std::path::PathBuf;

use super::syslog;
pub(crate) use crate::logs::level::LogLevel;
use crate::logs::syslog::Syslog;
use crate::syntax::directive::Args::AtLeast;
use crate::syntax::directive::{Directive, Has};
use crate::syntax::error::ConfigError;
use crate::syntax::include::ConfFiles;
use crate::syntax::reader::Reader;
use crate::syntax::span::Span;
use crate::syntax::statement::Statement;

/// An `error_log` directive: one destination of log messages.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct ErrorLog {
    pub(crate) target: LogTarget,
    /// The least severe level that is written, `error` by default.
    pub(crate) level: LogLevel,
    pub(crate) span: Span,
}

/// The destination of log messages.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) enum LogTarget {
    /// The file at this path.
    File(PathBuf),
    /// The standard error stream.
    Stderr,
    Syslog(Syslog),
}

impl LogTarget {
    /// `stderr`, or the name of a file.
    pub(crate) fn of(name: &str, files: &ConfFiles) -> Self {
        match name {
            "stderr" => Self::Stderr,
            file => Self::File(files.resolve(file)),
        }
    }
}

/// nginx's levels of one kind of debug messages each. Several may stand together, but not beside a level.
const DEBUG_LEVELS: &[&str] = &[
    "debug_core",
    "debug_alloc",
    "debug_mutex",
    "debug_event",
    "debug_http",
    "debug_mail",
    "debug_stream",
];

/// A variant without a comment is worded as in nginx.
#[derive(Debug, thiserror::Error)]
enum ErrorLogError {
    #[error("duplicate log level \"{level}\"")]
    DuplicateLevel { level: String },
    /// Ours.
    #[error(
        "logging to \"{target}\" is not supported: a ring buffer in memory is for a debugger; use a file, stderr or syslog"
    )]
    Memory { target: String },
}

impl<B: Has<Vec<ErrorLog>>> Directive<B> {
    pub(crate) const ERROR_LOG: &'static [Self] = &[Self::simple(
        "error_log",
        AtLeast(1),
        |block, statement, reader| {
            let log = error_log(statement, reader)?;
            block.part().push(log);
            Ok(())
        },
    )];
}

fn error_log(statement: &Statement, reader: &mut Reader<'_>) -> Result<ErrorLog, ConfigError> {
    let name = statement.arg();
    let target = if name.starts_with("memory:") {
        let target = name.to_owned();
        return Err(statement.error(ErrorLogError::Memory { target }));
    } else if name.starts_with("syslog:") {
        LogTarget::Syslog(syslog::read(statement)?)
    } else {
        LogTarget::of(name, reader.files())
    };
    Ok(ErrorLog {
        target,
        level: level(statement, reader)?.unwrap_or(LogLevel::Error),
        span: statement.span.clone(),
    })
}

fn level(statement: &Statement, reader: &mut Reader<'_>) -> Result<Option<LogLevel>, ConfigError> {
    let mut level = None;
    let mut kind = None;
    for name in statement.parameters() {
        if DEBUG_LEVELS.contains(&name) && (level.is_none() || kind.is_some()) {
            level = Some(LogLevel::Debug);
            kind = Some(name);
            continue;
        }
        let named = LogLevel::named(name);
        let named = named.ok_or_else(|| statement.invalid("log level", name))?;
        if level.replace(named).is_some() {
            let level = name.to_owned();
            return Err(statement.error(ErrorLogError::DuplicateLevel { level }));
        }
    }
    if let Some(kind) = kind {
        let text = format!("\"{kind}\" means \"debug\" here, which logs all kinds");
        reader.warn(statement, text);
    }
    Ok(level)
}
