//! `limit_conn_zone` and `limit_conn`.

use std::num::{NonZeroU32, NonZeroUsize};

use super::error_log::LogLevel;
use super::settings::settings;
use super::zone;
use crate::syntax::directive::Args::Exactly;
use crate::syntax::directive::{Directive, Has};
use crate::syntax::error::ConfigError;
use crate::syntax::reader::Reader;
use crate::syntax::span::Span;
use crate::syntax::statement::Statement;
use crate::syntax::units;
use crate::variables::value::Value;

/// Bytes of one client in a zone of nginx.
const STATE: u64 = 64;

/// nginx counts in 16 bits.
const MAX_SESSIONS: u64 = 65535;

/// A `limit_conn_zone` directive.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct LimitConnZone {
    pub(crate) name: String,
    /// What makes a client.
    pub(crate) key: Value,
    /// How many clients it has room for: in nginx each takes 64 bytes.
    pub(crate) clients: NonZeroUsize,
    pub(crate) span: Span,
}

/// A `limit_conn` directive.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct LimitConn {
    /// The name of a zone of the `stream` block.
    pub(crate) zone: String,
    /// How many of the connections that the zone counts each client may have.
    pub(crate) sessions: NonZeroU32,
    pub(crate) span: Span,
}

settings! {
    /// What happens to a client over a limit.
    LimitConnSettings, LimitConnDraft, LIMIT_CONN_SETTINGS {
        /// `limit_conn_dry_run`, off by default: the client is served, and logged.
        dry_run: bool = false,
        "limit_conn_dry_run" Exactly(1) => |statement, _| statement.flag();
        /// `limit_conn_log_level`, `error` by default.
        log_level: LogLevel = LogLevel::Error,
        "limit_conn_log_level" Exactly(1) => |statement, _| log_level(statement);
    }
}

fn log_level(statement: &Statement) -> Result<LogLevel, ConfigError> {
    match statement.arg() {
        "info" => Ok(LogLevel::Info),
        "notice" => Ok(LogLevel::Notice),
        "warn" => Ok(LogLevel::Warn),
        "error" => Ok(LogLevel::Error),
        other => Err(statement.invalid("value", other)),
    }
}

/// A variant without a comment is worded as in nginx.
#[derive(Debug, thiserror::Error)]
enum LimitConnError {
    #[error("limit_conn_zone \"{zone}\" is already bound to key \"{key}\"")]
    DuplicateZone { zone: String, key: String },
    #[error("connection limit must be less 65536")]
    TooManyConnections,
    #[error("zero size shared memory zone \"{zone}\"")]
    UnknownZone { zone: String },
}

impl<B: Has<Vec<LimitConn>>> Directive<B> {
    pub(crate) const LIMIT_CONN: &'static [Self] = &[Self::simple(
        "limit_conn",
        Exactly(2),
        |block, statement, _| {
            let limit = LimitConn::read(statement)?;
            let limits = block.part();
            if limits.iter().any(|other| other.zone == limit.zone) {
                return Err(statement.duplicate());
            }
            limits.push(limit);
            Ok(())
        },
    )];
}

impl LimitConn {
    fn read(statement: &Statement) -> Result<Self, ConfigError> {
        let text = statement.parameters().next().unwrap_or_default();
        let sessions = units::number(text).filter(|&number| number > 0);
        let sessions = sessions.ok_or_else(|| statement.invalid("number of connections", text))?;
        if sessions > MAX_SESSIONS {
            return Err(statement.error(LimitConnError::TooManyConnections));
        }
        Ok(Self {
            zone: statement.arg().to_owned(),
            sessions: u32::try_from(sessions)
                .ok()
                .and_then(NonZeroU32::new)
                .unwrap_or(NonZeroU32::MAX),
            span: statement.span.clone(),
        })
    }

    /// Checks that each of `limits` has its zone.
    pub(crate) fn check_zones(limits: &[Self], zones: &[LimitConnZone]) -> Result<(), ConfigError> {
        let is_known = |limit: &&Self| zones.iter().any(|zone| zone.name == limit.zone);
        match limits.iter().find(|limit| !is_known(limit)) {
            Some(limit) => {
                let zone = limit.zone.clone();
                Err(ConfigError::at(
                    &limit.span,
                    LimitConnError::UnknownZone { zone },
                ))
            }
            None => Ok(()),
        }
    }
}

impl LimitConnZone {
    /// Reads a zone and adds it to the `zones` of the block.
    pub(crate) fn read(
        zones: &mut Vec<Self>,
        statement: &Statement,
        reader: &mut Reader<'_>,
    ) -> Result<(), ConfigError> {
        let zone = Self::parse(statement, reader)?;
        if let Some(other) = zones.iter().find(|other| other.name == zone.name) {
            let (zone, key) = (zone.name, other.key.text().to_owned());
            return Err(statement.error(LimitConnError::DuplicateZone { zone, key }));
        }
        zones.push(zone);
        Ok(())
    }

    fn parse(statement: &Statement, reader: &mut Reader<'_>) -> Result<Self, ConfigError> {
        let key = Value::compile(statement, statement.arg(), reader)?;
        let parameter = statement.parameters().next().unwrap_or_default();
        let invalid = || statement.invalid("parameter", parameter);
        let zone = parameter.strip_prefix("zone=").ok_or_else(invalid)?;
        let invalid = || statement.invalid("zone size", parameter);
        let (name, size) = zone.rsplit_once(':').ok_or_else(invalid)?;
        let size = units::size(size).ok_or_else(invalid)?;
        zone::check_size(parameter, size, statement)?;
        let clients = usize::try_from(size / STATE)
            .ok()
            .and_then(NonZeroUsize::new);
        Ok(Self {
            name: name.to_owned(),
            key,
            clients: clients.unwrap_or(NonZeroUsize::MAX),
            span: statement.span.clone(),
        })
    }
}
