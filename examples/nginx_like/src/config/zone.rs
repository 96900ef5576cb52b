//! The size of a shared memory zone.

use crate::syntax::error::ConfigError;
use crate::syntax::statement::Statement;

/// In nginx a zone has at least eight pages.
const MIN_SIZE: u64 = 8 * 4096;

/// A variant without a comment is worded as in nginx.
#[derive(Debug, thiserror::Error)]
enum ZoneError {
    #[error("zone \"{zone}\" is too small")]
    TooSmall { zone: String },
}

/// Checks that a zone has the size that nginx requires. `zone` is nginx's name of the zone in the error.
pub(crate) fn check_size(zone: &str, size: u64, statement: &Statement) -> Result<(), ConfigError> {
    if size < MIN_SIZE {
        let zone = zone.to_owned();
        return Err(statement.error(ZoneError::TooSmall { zone }));
    }
    Ok(())
}
