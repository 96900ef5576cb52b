//! Last good sets that outlive the process.

use std::sync::Arc;
use std::time::Duration;

use lb_core::Snapshot;

/// The last good set of a source, for another process to begin with.
///
/// [`DriverHandle::last_sets`](crate::DriverHandle::last_sets) exports it, and [`Driver::begin_with`](crate::Driver::begin_with)
/// takes it.
#[non_exhaustive]
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LastSet {
    /// The source's [label](crate::Source::label), for display.
    pub label: Arc<str>,
    /// The source's [identity](crate::Source::identity): another source does not begin with the set.
    pub identity: Arc<str>,
    /// The set before [`Source::adapt`](crate::Source::adapt).
    pub backends: Snapshot,
    /// How long ago the source confirmed it last.
    pub age: Duration,
}

impl LastSet {
    /// A set with the source's identity as its label.
    pub fn new(identity: impl Into<Arc<str>>, backends: Snapshot, age: Duration) -> Self {
        let identity = identity.into();
        Self {
            label: Arc::clone(&identity),
            identity,
            backends,
            age,
        }
    }

    /// Sets [`label`](Self::label).
    #[must_use]
    pub fn with_label(mut self, label: impl Into<Arc<str>>) -> Self {
        self.label = label.into();
        self
    }
}
