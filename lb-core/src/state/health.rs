//! What an active check says of a backend.

/// What an active check says of a backend. A backend that nobody checks is healthy.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Health {
    /// It answers.
    #[default]
    Healthy,
    /// It does not: no new connections, except in panic mode.
    Unhealthy,
}
