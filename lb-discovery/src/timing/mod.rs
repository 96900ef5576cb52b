//! When a source is asked again: growing delays, and hints with a limit on their rate.

pub(crate) mod backoff;
pub(crate) mod refresh_hints;
