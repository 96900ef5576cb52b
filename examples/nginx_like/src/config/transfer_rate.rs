//! `proxy_upload_rate` and `proxy_download_rate`: bytes a second.

use std::num::NonZeroU64;

use crate::syntax::error::ConfigError;
use crate::syntax::reader::Reader;
use crate::syntax::statement::Statement;
use crate::syntax::units;
use crate::variables::context::Context;
use crate::variables::value::Value;

/// A number of bytes a second; 0 is no limit.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum TransferRate {
    Fixed(u64),
    /// Computed for each session.
    Value(Value),
}

impl TransferRate {
    pub(crate) fn read(
        statement: &Statement,
        reader: &mut Reader<'_>,
    ) -> Result<Self, ConfigError> {
        let value = Value::compile(statement, statement.arg(), reader)?;
        match value.literal() {
            None => Ok(Self::Value(value)),
            Some(text) => {
                let size = units::size(text).ok_or_else(|| statement.invalid_value())?;
                Ok(Self::Fixed(size))
            }
        }
    }

    /// The rate of a session. `Err`: the value as computed, which is no size. As in nginx it is no limit then.
    pub(crate) fn of(&self, context: &Context<'_>) -> Result<Option<NonZeroU64>, String> {
        let rate = match self {
            Self::Fixed(rate) => *rate,
            Self::Value(value) => {
                let bytes = value.get(context);
                let text = String::from_utf8_lossy(&bytes);
                units::size(&text).ok_or_else(|| text.into_owned())?
            }
        };
        Ok(NonZeroU64::new(rate))
    }
}
