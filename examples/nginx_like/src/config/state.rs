//! `lb_state`, ours: the file from which the next process begins.

use std::path::PathBuf;
use std::time::Duration;

use crate::syntax::error::ConfigError;
use crate::syntax::reader::Reader;
use crate::syntax::statement::Statement;
use crate::syntax::units;

/// The arguments of `lb_state`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct StateConfig {
    pub(crate) path: PathBuf,
    /// `interval=`: the time between two writes, 10 s by default.
    pub(crate) interval: Duration,
    /// `max_age=`: an older file is ignored, one day by default.
    pub(crate) max_age: Duration,
}

/// The shortest interval.
const SHORTEST: Duration = Duration::from_millis(100);

impl StateConfig {
    pub(super) fn read(statement: &Statement, reader: &Reader<'_>) -> Result<Self, ConfigError> {
        if statement.arg().is_empty() {
            return Err(statement.invalid_value());
        }
        let path = reader.files().resolve(statement.arg());
        let (mut interval, mut max_age) = (None, None);
        for parameter in statement.parameters() {
            let invalid = || statement.invalid("parameter", parameter);
            let (name, value) = parameter.split_once('=').ok_or_else(invalid)?;
            let time = units::milliseconds(value).filter(|time| *time >= SHORTEST);
            let time = time.ok_or_else(invalid)?;
            let slot = match name {
                "interval" => &mut interval,
                "max_age" => &mut max_age,
                _ => return Err(invalid()),
            };
            if slot.replace(time).is_some() {
                return Err(invalid());
            }
        }
        Ok(Self {
            path,
            interval: interval.unwrap_or(Duration::from_secs(10)),
            max_age: max_age.unwrap_or(Duration::from_secs(24 * 3600)),
        })
    }
}
