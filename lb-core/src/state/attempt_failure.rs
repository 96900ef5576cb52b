//! The kind of a failed attempt: with an answer of the backend, or without.

use crate::time::Timestamp;

/// Whether a failed attempt had an answer.
///
/// An answer, even a refusal, proves that the path to the backend works, so the failure is due to the backend. Without an
/// answer the path may be gone, and with it that to all other backends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum AttemptFailure {
    /// The backend's host refused or reset the connection.
    Answered,
    /// No route, no such host, no answer in time.
    Unanswered,
}

impl AttemptFailure {
    /// What two failures say together.
    pub(crate) const fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Unanswered, Self::Unanswered) => Self::Unanswered,
            _ => Self::Answered,
        }
    }
}

/// An ejection that has not ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Ejection {
    /// When it began, or the last failure since.
    pub(crate) since: Timestamp,
    /// `Unanswered` if all failures that led to it were.
    pub(crate) cause: AttemptFailure,
}
