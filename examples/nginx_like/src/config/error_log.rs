//! `error_log`, which may stand on every level.

use std::path::PathBuf;

use crate::syntax::directive::Args::AtLeast;
use crate::syntax::directive::{Directive, Has};
use crate::syntax::error::ConfigError;
use crate::syntax::include::ConfFiles;
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

/// The severity of a log message, by nginx's names; a greater level is more severe.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum LogLevel {
    Debug,
    Info,
    Notice,
    Warn,
    Error,
    Crit,
    Alert,
    Emerg,
}

/// A variant without a comment is worded as in nginx.
#[derive(Debug, thiserror::Error)]
enum ErrorLogError {
    #[error("duplicate log level \"{level}\"")]
    DuplicateLevel { level: String },
    /// Ours.
    #[error("logging to \"{target}\" is not supported yet")]
    NotSupportedTarget { target: String },
}

impl<B: Has<Vec<ErrorLog>>> Directive<B> {
    pub(crate) const ERROR_LOG: &'static [Self] = &[Self::simple(
        "error_log",
        AtLeast(1),
        |block, statement, reader| {
            let log = error_log(statement, reader.files())?;
            block.part().push(log);
            Ok(())
        },
    )];
}

fn error_log(statement: &Statement, files: &ConfFiles) -> Result<ErrorLog, ConfigError> {
    let target = statement.arg();
    if target.starts_with("memory:") || target.starts_with("syslog:") {
        let target = target.to_owned();
        return Err(statement.error(ErrorLogError::NotSupportedTarget { target }));
    }
    let mut level = None;
    for name in statement.parameters() {
        let parsed = parse_level(name).ok_or_else(|| {
            if name.starts_with("debug_") {
                return statement.not_supported_parameter(name);
            }
            statement.invalid("log level", name)
        })?;
        if level.replace(parsed).is_some() {
            let level = name.to_owned();
            return Err(statement.error(ErrorLogError::DuplicateLevel { level }));
        }
    }
    Ok(ErrorLog {
        target: LogTarget::of(target, files),
        level: level.unwrap_or(LogLevel::Error),
        span: statement.span.clone(),
    })
}

fn parse_level(name: &str) -> Option<LogLevel> {
    Some(match name {
        "debug" => LogLevel::Debug,
        "info" => LogLevel::Info,
        "notice" => LogLevel::Notice,
        "warn" => LogLevel::Warn,
        "error" => LogLevel::Error,
        "crit" => LogLevel::Crit,
        "alert" => LogLevel::Alert,
        "emerg" => LogLevel::Emerg,
        _ => return None,
    })
}
