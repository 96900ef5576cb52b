//! The writing end of an upstream's membership.

use lb_core::{Snapshot, Updater};

use super::overrides::Overrides;

/// What the sources reported, what overrides it, and the updater that gets the result of both.
pub(super) struct Membership {
    pub(super) updater: Updater,
    /// What the sources reported last. `None` before their first answer.
    pub(super) discovered: Option<Snapshot>,
    pub(super) overrides: Overrides,
}

impl Membership {
    pub(super) fn new(updater: Updater) -> Self {
        Self {
            updater,
            discovered: None,
            overrides: Overrides::default(),
        }
    }
}
