//! `access_log` and `open_log_file_cache`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::log_format::LogFormat;
use super::syslog;
use crate::logs::path_cache::FileCacheSettings;
use crate::logs::sink::LogBuffer;
use crate::logs::sinks::SinkKey;
use crate::logs::syslog::Syslog;
use crate::syntax::directive::Args::{AtLeast, Between};
use crate::syntax::directive::{Directive, Has};
use crate::syntax::error::ConfigError;
use crate::syntax::reader::Reader;
use crate::syntax::span::Span;
use crate::syntax::statement::Statement;
use crate::syntax::units;
use crate::variables::value::Value;

/// The size of a compressed log's buffer if none is written.
const GZIP_BUFFER: usize = 64 << 10;

/// The shortest `interim=`: a line of every session each second is a lot.
const SHORTEST_INTERIM: Duration = Duration::from_secs(1);

/// The `access_log` directives of one block.
#[derive(Clone, Debug, Default)]
pub(crate) struct AccessLogs {
    /// `access_log off`, beside which the others do not count.
    is_off: bool,
    logs: Vec<AccessLog>,
}

/// An `access_log` directive: where a line goes for each session that ends.
#[derive(Clone, Debug)]
pub(crate) struct AccessLog {
    pub(crate) target: AccessTarget,
    /// The name of a `log_format`.
    pub(crate) format: String,
    /// `if=`: a session is not logged if this is empty or `0`.
    pub(crate) condition: Option<Value>,
    /// `interim=`, ours: how often a session that lasts is logged as well.
    pub(crate) interim: Option<Duration>,
    pub(crate) span: Span,
}

/// Where lines go.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum AccessTarget {
    File(PathBuf, Option<LogBuffer>),
    /// The file whose name the value is for each session.
    Paths(Value),
    Syslog(Syslog),
}

/// Worded as in nginx.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AccessLogError {
    #[error("invalid \"open_log_file_cache\" parameter \"{parameter}\"")]
    CacheParameter { parameter: String },
    #[error("access_log \"{log}\" already defined with conflicting parameters")]
    Conflict { log: String },
    #[error("\"open_log_file_cache\" must have \"max\" parameter")]
    NoCacheMax,
    #[error("no buffer is defined for access_log \"{log}\"")]
    NoBuffer { log: String },
    #[error("log format is not specified")]
    NoFormat,
    #[error("buffered logs cannot have variables in name")]
    PathsBuffered,
    #[error("logs to syslog cannot be buffered")]
    SyslogBuffered,
    #[error(
        "\"interim={time}\" differs from that of another access_log of this server: a session is reported at one interval"
    )]
    OtherInterim { time: String },
    #[error("\"interim\" needs a format that says which lines are interim: lb_json")]
    InterimFormat,
    #[error("unknown log format \"{name}\"")]
    UnknownFormat { name: String },
}

impl AccessLogs {
    /// The logs of a block inside of one with `outer`.
    pub(crate) fn inherit(self, outer: &Self) -> Vec<AccessLog> {
        let used = if self.is_off || !self.logs.is_empty() {
            self
        } else {
            outer.clone()
        };
        if used.is_off { Vec::new() } else { used.logs }
    }
}

impl<B: Has<AccessLogs> + Has<Option<Option<FileCacheSettings>>>> Directive<B> {
    pub(crate) const ACCESS_LOG: &'static [Self] = &[
        Self::simple("access_log", AtLeast(1), |block, statement, reader| {
            if statement.arg() == "off" {
                Has::<AccessLogs>::part(block).is_off = true;
                return match statement.parameters().next() {
                    Some(parameter) => Err(statement.invalid("parameter", parameter)),
                    None => Ok(()),
                };
            }
            let log = AccessLog::read(statement, reader)?;
            Has::<AccessLogs>::part(block).logs.push(log);
            Ok(())
        }),
        Self::simple(
            "open_log_file_cache",
            Between(1, 4),
            |block, statement, _| {
                let slot: &mut Option<Option<FileCacheSettings>> = block.part();
                statement.once(slot, file_cache)
            },
        ),
    ];
}

impl AccessLog {
    fn read(statement: &Statement, reader: &mut Reader<'_>) -> Result<Self, ConfigError> {
        let name = statement.arg();
        let mut target = if name.starts_with("syslog:") {
            AccessTarget::Syslog(syslog::read(statement)?)
        } else if name.contains('$') {
            // As in nginx, a relative name is below the prefix, whatever the variables are.
            let path = reader.files().resolve(name);
            let text = path.to_str().unwrap_or(name);
            AccessTarget::Paths(Value::compile(statement, text, reader)?)
        } else {
            AccessTarget::File(reader.files().resolve(name), None)
        };
        let mut parameters = statement.parameters();
        let format = parameters.next();
        let format = format.ok_or_else(|| statement.error(AccessLogError::NoFormat))?;
        let (mut size, mut flush, mut gzip) = (None, None, None);
        let (mut condition, mut interim) = (None, None);
        for parameter in parameters {
            if let Some(text) = parameter.strip_prefix("buffer=") {
                let parsed = units::size(text).and_then(|size| usize::try_from(size).ok());
                let parsed = parsed.filter(|size| *size > 0);
                size = Some(parsed.ok_or_else(|| statement.invalid("buffer size", text))?);
            } else if let Some(text) = parameter.strip_prefix("flush=") {
                let parsed = units::milliseconds(text).filter(|time| !time.is_zero());
                flush = Some(parsed.ok_or_else(|| statement.invalid("flush time", text))?);
            } else if parameter == "gzip" {
                gzip = Some(1);
                size.get_or_insert(GZIP_BUFFER);
            } else if let Some(text) = parameter.strip_prefix("gzip=") {
                let level = units::number(text).and_then(|level| u32::try_from(level).ok());
                let level = level.filter(|level| (1..=9).contains(level));
                gzip = Some(level.ok_or_else(|| statement.invalid("compression level", text))?);
                size.get_or_insert(GZIP_BUFFER);
            } else if let Some(text) = parameter.strip_prefix("if=") {
                condition = Some(Value::compile(statement, text, reader)?);
            } else if let Some(text) = parameter.strip_prefix("interim=") {
                let parsed = units::milliseconds(text).filter(|time| *time >= SHORTEST_INTERIM);
                interim = Some(parsed.ok_or_else(|| statement.invalid("interim time", text))?);
            } else {
                return Err(statement.invalid("parameter", parameter));
            }
        }
        if flush.is_some() && size.is_none() {
            let log = name.to_owned();
            return Err(statement.error(AccessLogError::NoBuffer { log }));
        }
        if let Some(size) = size {
            let buffer = LogBuffer { size, flush, gzip };
            match &mut target {
                AccessTarget::File(_, slot) => *slot = Some(buffer),
                AccessTarget::Paths(_) => {
                    return Err(statement.error(AccessLogError::PathsBuffered));
                }
                AccessTarget::Syslog(_) => {
                    return Err(statement.error(AccessLogError::SyslogBuffered));
                }
            }
        }
        Ok(Self {
            target,
            format: format.to_owned(),
            condition,
            interim,
            span: statement.span.clone(),
        })
    }
}

impl AccessLog {
    /// Checks that each of `logs`, those of a server, names one of `formats`, and that their interim lines can be distinguished
    /// and have one interval.
    pub(crate) fn check_formats(
        logs: &[Self],
        formats: &[Arc<LogFormat>],
    ) -> Result<(), ConfigError> {
        let interim = Self::interim(logs);
        for log in logs {
            let error = match LogFormat::named(formats, &log.format) {
                None => AccessLogError::UnknownFormat {
                    name: log.format.clone(),
                },
                Some(format) if log.interim.is_some() && !format.has_event() => {
                    AccessLogError::InterimFormat
                }
                Some(_) => match log.interim {
                    Some(time) if interim != Some(time) => AccessLogError::OtherInterim {
                        time: format!("{time:?}"),
                    },
                    _ => continue,
                },
            };
            return Err(ConfigError::at(&log.span, error));
        }
        Ok(())
    }

    /// How often sessions that last are logged, by any of `logs`.
    pub(crate) fn interim(logs: &[Self]) -> Option<Duration> {
        logs.iter().find_map(|log| log.interim)
    }
}

impl AccessTarget {
    /// The log among those that are open. `cache` is the server's `open_log_file_cache`.
    pub(crate) fn key(&self, cache: Option<FileCacheSettings>) -> SinkKey {
        match self {
            Self::File(path, buffer) => SinkKey::Access(path.clone(), *buffer),
            Self::Paths(value) => SinkKey::Paths(value.text().into(), cache),
            Self::Syslog(syslog) => SinkKey::Syslog(syslog.clone()),
        }
    }
}

/// The arguments of `open_log_file_cache`. `None` is `off`.
fn file_cache(statement: &Statement) -> Result<Option<FileCacheSettings>, ConfigError> {
    let mut is_off = false;
    let mut settings = FileCacheSettings {
        max: 0,
        inactive: Duration::from_secs(10),
        min_uses: 1,
        valid: Duration::from_secs(60),
    };
    for parameter in statement.args() {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let read = match (name, parameter.contains('=')) {
            ("max", true) => units::number(value)
                .filter(|_| !value.is_empty())
                .and_then(|max| usize::try_from(max).ok())
                .map(|max| settings.max = max),
            ("inactive", true) => units::seconds(value).map(|time| settings.inactive = time),
            ("min_uses", true) => units::number(value)
                .filter(|_| !value.is_empty())
                .map(|uses| settings.min_uses = uses),
            ("valid", true) => units::seconds(value).map(|time| settings.valid = time),
            ("off", false) => {
                is_off = true;
                Some(())
            }
            _ => None,
        };
        if read.is_none() {
            let parameter = parameter.clone();
            return Err(statement.error(AccessLogError::CacheParameter { parameter }));
        }
    }
    if is_off {
        return Ok(None);
    }
    if settings.max == 0 {
        return Err(statement.error(AccessLogError::NoCacheMax));
    }
    Ok(Some(settings))
}
