//! Backends, and their changes during a simulation.

use super::file::Failure;
use super::units::Time;

/// One backend of a group.
#[derive(Clone, Debug)]
pub(crate) struct BackendSpec {
    pub(crate) name: String,
    pub(crate) group: usize,
}

/// One action on one backend or more, at one time.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) at: Time,
    pub(crate) kind: ChangeKind,
    pub(crate) targets: Vec<usize>,
    /// The text on the page, such as `leave old-1`.
    pub(crate) label: String,
}

/// An action with its parameters.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ChangeKind {
    Drain,
    Fail(Failure),
    Join,
    Leave,
    Recover,
    Weight(u16),
}

impl ChangeKind {
    /// Whether the action changes the snapshot that the balancer receives.
    pub(crate) const fn is_membership(self) -> bool {
        !matches!(self, Self::Fail(_) | Self::Recover)
    }
}
