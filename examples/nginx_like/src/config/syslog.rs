//! `syslog:` in `error_log` and `access_log`.

use std::path::PathBuf;

use crate::logs::level::LogLevel;
use crate::logs::syslog::{Syslog, SyslogServer};
use crate::syntax::error::ConfigError;
use crate::syntax::statement::Statement;

const DEFAULT_PORT: u16 = 514;

/// The facilities by their numbers.
const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "intern", "lpr", "news", "uucp", "clock", "authpriv",
    "ftp", "ntp", "audit", "alert", "cron", "local0", "local1", "local2", "local3", "local4",
    "local5", "local6", "local7",
];

const LOCAL7: u8 = 23;

/// Worded as in nginx.
#[derive(Debug, thiserror::Error)]
enum SyslogParameterError {
    #[error("duplicate syslog \"{name}\"")]
    Duplicate { name: &'static str },
    #[error("unknown syslog facility \"{name}\"")]
    Facility { name: String },
    #[error("no syslog server specified")]
    NoServer,
    #[error("unknown syslog parameter \"{parameter}\"")]
    Parameter { parameter: String },
    #[error("{reason} in syslog server \"{server}\"")]
    Server {
        reason: &'static str,
        server: String,
    },
    #[error("unknown syslog severity \"{name}\"")]
    Severity { name: String },
    #[error("syslog \"tag\" only allows alphanumeric characters and underscore")]
    Tag,
    #[error("syslog tag length exceeds 32")]
    TagLength,
}

/// The values as written.
#[derive(Debug, Default)]
struct Draft {
    server: Option<SyslogServer>,
    facility: Option<u8>,
    severity: Option<u8>,
    tag: Option<String>,
    no_hostname: bool,
}

/// Reads what follows `syslog:` in the first argument of `statement`.
pub(crate) fn read(statement: &Statement) -> Result<Syslog, ConfigError> {
    let text = statement.arg().strip_prefix("syslog:").unwrap_or_default();
    let mut draft = Draft::default();
    for parameter in text.split(',') {
        let added = draft.add(parameter);
        added.map_err(|error| statement.error(error))?;
    }
    let Some(server) = draft.server else {
        return Err(statement.error(SyslogParameterError::NoServer));
    };
    Ok(Syslog {
        server,
        facility: draft.facility.unwrap_or(LOCAL7),
        severity: draft.severity.unwrap_or(LogLevel::Info.severity()),
        tag: draft.tag.unwrap_or_else(|| "nginx".to_owned()),
        no_hostname: draft.no_hostname,
    })
}

impl Draft {
    fn add(&mut self, parameter: &str) -> Result<(), SyslogParameterError> {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        match (name, parameter.contains('=')) {
            ("server", true) => once("server", &mut self.server, server(value)?),
            ("facility", true) => {
                let number = FACILITIES.iter().position(|known| *known == value);
                let number = number.and_then(|number| u8::try_from(number).ok());
                let name = value.to_owned();
                let number = number.ok_or(SyslogParameterError::Facility { name })?;
                once("facility", &mut self.facility, number)
            }
            ("severity", true) => {
                let name = value.to_owned();
                let level =
                    LogLevel::named(value).ok_or(SyslogParameterError::Severity { name })?;
                once("severity", &mut self.severity, level.severity())
            }
            ("tag", true) => once("tag", &mut self.tag, tag(value)?),
            ("nohostname", false) => {
                self.no_hostname = true;
                Ok(())
            }
            _ => Err(SyslogParameterError::Parameter {
                parameter: parameter.to_owned(),
            }),
        }
    }
}

fn once<T>(name: &'static str, slot: &mut Option<T>, value: T) -> Result<(), SyslogParameterError> {
    match slot.replace(value) {
        Some(_) => Err(SyslogParameterError::Duplicate { name }),
        None => Ok(()),
    }
}

/// `HOST`, `HOST:PORT`, `[IPV6]`, `[IPV6]:PORT` or `unix:PATH`.
fn server(text: &str) -> Result<SyslogServer, SyslogParameterError> {
    let error = |reason| SyslogParameterError::Server {
        reason,
        server: text.to_owned(),
    };
    if let Some(path) = text.strip_prefix("unix:") {
        if path.is_empty() {
            return Err(error("no path in the unix domain socket"));
        }
        return Ok(SyslogServer::Unix(PathBuf::from(path)));
    }
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']').ok_or_else(|| error("invalid host"))?;
            (host, rest.strip_prefix(':'))
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    if host.is_empty() {
        return Err(error("no host"));
    }
    let port = match port {
        Some(port) => {
            let number = port.parse().ok().filter(|port| *port != 0);
            number.ok_or_else(|| error("invalid port"))?
        }
        None => DEFAULT_PORT,
    };
    Ok(SyslogServer::Udp(host.to_owned(), port))
}

fn tag(text: &str) -> Result<String, SyslogParameterError> {
    if text.len() > 32 {
        return Err(SyslogParameterError::TagLength);
    }
    let is_valid = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if !text.bytes().all(is_valid) {
        return Err(SyslogParameterError::Tag);
    }
    Ok(if text.is_empty() { "nginx" } else { text }.to_owned())
}
