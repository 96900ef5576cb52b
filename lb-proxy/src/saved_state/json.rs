//! The state as JSON.

use std::io;
use std::time::{Duration, SystemTime};

use super::SavedState;
use super::schema::{DocumentHead, StateDocument, VERSION};

/// How far the clock may have been set back since the export. A document from later is refused.
const TOLERANCE: Duration = Duration::from_secs(60);

/// Why a saved state cannot be used.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum SavedStateError {
    /// It was exported after the present moment: the clock is wrong now, or was then.
    #[error("it is from the future, by {by:?}")]
    Future {
        /// How much later.
        by: Duration,
    },
    /// The file cannot be read.
    #[error("it cannot be read")]
    Io {
        /// Why.
        source: io::Error,
    },
    /// It is no JSON of this schema: another program's file, or one that was cut off.
    #[error("it is malformed: {reason}")]
    Malformed {
        /// What is wrong, with the line and the column.
        reason: Box<str>,
    },
    /// It is larger than any that is read.
    #[error("it has more than {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: u64,
    },
    /// It has another version of the schema.
    #[error("it has version {found}, and this program reads version {expected}")]
    Version {
        /// Its version.
        found: u64,
        /// The version that is read.
        expected: u64,
    },
}

impl SavedState {
    /// The state as a JSON document.
    pub fn to_json(&self) -> Vec<u8> {
        // No key is anything else than a string, and no value fails to serialize.
        serde_json::to_vec(&StateDocument::of(self)).unwrap_or_default()
    }

    /// Reads what [`to_json`](Self::to_json) has written.
    ///
    /// # Errors
    ///
    /// Every [`SavedStateError`] but those of files. A document that was exported up to a minute after `now` is read as one of now.
    pub fn from_json(json: &[u8], now: SystemTime) -> Result<Self, SavedStateError> {
        let malformed = |error: serde_json::Error| SavedStateError::Malformed {
            reason: error.to_string().into(),
        };
        let head: DocumentHead = serde_json::from_slice(json).map_err(malformed)?;
        if head.version != VERSION {
            return Err(SavedStateError::Version {
                found: head.version,
                expected: VERSION,
            });
        }
        let document: StateDocument = serde_json::from_slice(json).map_err(malformed)?;
        let state = Self::from(document);
        SavedStateError::check_time(state.saved, now)?;
        Ok(state)
    }
}

impl SavedStateError {
    /// Fails for a state that was saved more than a minute after `now`.
    ///
    /// # Errors
    ///
    /// [`Future`](Self::Future).
    pub fn check_time(saved: SystemTime, now: SystemTime) -> Result<(), Self> {
        match saved.duration_since(now) {
            Ok(by) if by > TOLERANCE => Err(Self::Future { by }),
            _ => Ok(()),
        }
    }
}
