//! `error_log`, which may stand on every level.

use crate::config::{ErrorLog, LogLevel, LogTarget};
use crate::syntax::directive::Args::AtLeast;
use crate::syntax::directive::{Directive, Line, Scope};
use crate::syntax::error::{ConfigError, ErrorKind};
use crate::syntax::include::Files;

impl<S: Scope + AsMut<Vec<ErrorLog>>> Directive<S> {
    pub(crate) const LOGS: &'static [Self] = &[Self::simple(
        "error_log",
        AtLeast(1),
        |scope, line, reader| {
            let log = error_log(line, reader.files())?;
            scope.as_mut().push(log);
            Ok(())
        },
    )];
}

fn error_log(line: &Line, files: &Files) -> Result<ErrorLog, ConfigError> {
    let target = line.arg();
    if target.starts_with("memory:") || target.starts_with("syslog:") {
        let target = target.to_owned();
        return Err(line.error(ErrorKind::NotSupportedLogTarget { target }));
    }
    let mut level = None;
    for name in line.parameters() {
        let parsed = parse_level(name).ok_or_else(|| {
            if name.starts_with("debug_") {
                return line.not_supported_parameter(name);
            }
            line.invalid("log level", name)
        })?;
        if level.replace(parsed).is_some() {
            let level = name.to_owned();
            return Err(line.error(ErrorKind::DuplicateLogLevel { level }));
        }
    }
    Ok(ErrorLog {
        target: match target {
            "stderr" => LogTarget::Stderr,
            file => LogTarget::File(files.resolve(file)),
        },
        level: level.unwrap_or(LogLevel::Error),
        span: line.span.clone(),
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
