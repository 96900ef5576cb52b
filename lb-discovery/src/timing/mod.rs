//! The time of a source's next attempt: growing delays, and hints with a limit on their rate.

pub(crate) mod backoff;
pub(crate) mod refresh_hints;
