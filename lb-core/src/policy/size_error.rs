//! The error of a policy whose table or ring has a size.

/// A size that no table or ring can have.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SizeError {
    /// Of [`RingHash`](crate::policy::RingHash): a minimum above the maximum, or a maximum above the limit.
    #[error("a ring cannot have {min} to {max} points: the limit is {limit}")]
    #[non_exhaustive]
    Ring {
        /// The minimum that was asked for.
        min: u32,
        /// The maximum that was asked for.
        max: u32,
        /// [`RingHash::MAX_SIZE`](crate::policy::RingHash::MAX_SIZE).
        limit: u32,
    },
    /// Of [`Maglev`](crate::policy::Maglev): a number of slots that is no prime, or above the limit.
    #[error("a table cannot have {slots} slots: use a prime up to {limit}")]
    #[non_exhaustive]
    Table {
        /// The slots that were asked for.
        slots: u32,
        /// [`Maglev::MAX_TABLE_SIZE`](crate::policy::Maglev::MAX_TABLE_SIZE).
        limit: u32,
    },
}
