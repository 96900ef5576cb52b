//! The size of a shared memory zone.

use crate::syntax::error::ConfigError;
use crate::syntax::statement::Statement;

/// nginx wants at least eight pages for a zone.
const MIN_SIZE: u64 = 8 * 4096;

/// A variant without a comment is worded as in nginx.
#[derive(Debug, thiserror::Error)]
enum ZoneError {
    #[error("zone \"{zone}\" is too small")]
    TooSmall { zone: String },
}

/// Checks that a zone is as large as nginx wants it. `zone` is how nginx names the zone in the error.
pub(crate) fn check_size(zone: &str, size: u64, statement: &Statement) -> Result<(), ConfigError> {
    if size < MIN_SIZE {
        let zone = zone.to_owned();
        return Err(statement.error(ZoneError::TooSmall { zone }));
    }
    Ok(())
}
