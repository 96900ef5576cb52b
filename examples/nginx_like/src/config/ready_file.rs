//! `lb_ready_file`, ours: the file that says whether the server should get new connections.

use std::time::Duration;

use lb_proxy::readiness_report::ReadyFileSettings;

use crate::syntax::error::ConfigError;
use crate::syntax::reader::Reader;
use crate::syntax::statement::Statement;
use crate::syntax::units;

/// The shortest heartbeat.
const SHORTEST: Duration = Duration::from_millis(10);

#[derive(Debug, thiserror::Error)]
enum ReadyFileError {
    #[error(
        "\"ready\" and \"not_ready\" of \"lb_ready_file\" are both {0}: what reads the file could not tell them apart"
    )]
    Same(i32),
}

/// Reads `lb_ready_file PATH [ready=N] [not_ready=N] [leaving=N] [heartbeat=TIME]`. Without `leaving` its number is that of
/// `not_ready`.
pub(super) fn read(
    statement: &Statement,
    reader: &Reader<'_>,
) -> Result<ReadyFileSettings, ConfigError> {
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
    let defaults = ReadyFileSettings::new(path);
    let ready = ready.unwrap_or(defaults.ready);
    let not_ready = not_ready.unwrap_or(defaults.not_ready);
    if ready == not_ready {
        return Err(statement.error(ReadyFileError::Same(ready)));
    }
    let heartbeat = heartbeat.unwrap_or(defaults.heartbeat);
    Ok(defaults
        .ready(ready)
        .not_ready(not_ready)
        .leaving(leaving.unwrap_or(not_ready))
        .heartbeat(heartbeat))
}
