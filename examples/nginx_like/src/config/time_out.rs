//! Time-outs that end at once if they are 0.

use std::time::Duration;

use crate::syntax::error::ConfigError;
use crate::syntax::reader::Reader;
use crate::syntax::statement::Statement;

/// Reads a time-out that ends at once if it is 0, as in nginx. Warns of 0, because few configurations mean that.
pub(crate) fn time_out(
    statement: &Statement,
    reader: &mut Reader<'_>,
) -> Result<Duration, ConfigError> {
    let time_out = statement.milliseconds()?;
    if time_out.is_zero() {
        let name = statement.name();
        reader.warn(
            statement,
            format!("a time-out of 0 ends at once and is not off: \"{name} 0\""),
        );
    }
    Ok(time_out)
}
