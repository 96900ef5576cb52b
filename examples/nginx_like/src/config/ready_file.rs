//! `lb_ready_file`, ours: the file that says whether the server should get new connections.

use std::path::PathBuf;
use std::time::Duration;

use crate::syntax::error::ConfigError;
use crate::syntax::reader::Reader;
use crate::syntax::statement::Statement;
use crate::syntax::units;

/// The arguments of `lb_ready_file`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct ReadyFileConfig {
    pub(crate) path: PathBuf,
    /// `ready=`: the number while it is ready, 0 by default.
    pub(crate) ready: i32,
    /// `not_ready=`: the number while it is not, -254 by default, which takes a VRRP instance of keepalived out with a weight
    /// of 0 as well as with one of 1.
    pub(crate) not_ready: i32,
    /// `leaving=`: the number once the shutdown has begun, that of `not_ready` by default.
    pub(crate) leaving: i32,
    /// `heartbeat=`: the file is never older than this while the process is alive, 1 s by default.
    pub(crate) heartbeat: Duration,
}

/// The shortest heartbeat.
const SHORTEST: Duration = Duration::from_millis(10);

#[derive(Debug, thiserror::Error)]
enum ReadyFileError {
    #[error(
        "\"ready\" and \"not_ready\" of \"lb_ready_file\" are both {0}: what reads the file could not tell them apart"
    )]
    Same(i32),
}

impl ReadyFileConfig {
    /// The file at `path` with the defaults.
    pub(crate) const fn at(path: PathBuf) -> Self {
        Self {
            path,
            ready: 0,
            not_ready: -254,
            leaving: -254,
            heartbeat: Duration::from_secs(1),
        }
    }

    pub(super) fn read(statement: &Statement, reader: &Reader<'_>) -> Result<Self, ConfigError> {
        if statement.arg().is_empty() {
            return Err(statement.invalid_value());
        }
        let path = reader.files().resolve(statement.arg());
        let (mut ready, mut not_ready, mut leaving, mut heartbeat) = (None, None, None, None);
        for parameter in statement.parameters() {
            let invalid = || statement.invalid("parameter", parameter);
            let (name, value) = parameter.split_once('=').ok_or_else(invalid)?;
            let number = |slot: &mut Option<i32>| match value.parse() {
                Ok(number) if slot.is_none() => {
                    *slot = Some(number);
                    Ok(())
                }
                _ => Err(invalid()),
            };
            match name {
                "ready" => number(&mut ready)?,
                "not_ready" => number(&mut not_ready)?,
                "leaving" => number(&mut leaving)?,
                "heartbeat" if heartbeat.is_none() => {
                    let time = units::milliseconds(value).filter(|time| *time >= SHORTEST);
                    heartbeat = Some(time.ok_or_else(invalid)?);
                }
                _ => return Err(invalid()),
            }
        }
        let defaults = Self::at(path);
        let ready = ready.unwrap_or(defaults.ready);
        let not_ready = not_ready.unwrap_or(defaults.not_ready);
        if ready == not_ready {
            return Err(statement.error(ReadyFileError::Same(ready)));
        }
        Ok(Self {
            ready,
            not_ready,
            leaving: leaving.unwrap_or(not_ready),
            heartbeat: heartbeat.unwrap_or(defaults.heartbeat),
            ..defaults
        })
    }
}
