//! Last good sets that outlive the process.

use std::sync::Arc;
use std::time::Duration;

use lb_core::{Snapshot, stable_hash};

use crate::source::Source;

/// The last good set of a source, for another process to begin with.
///
/// [`DriverHandle::last_sets`](crate::DriverHandle::last_sets) exports it, and [`Driver::begin_with`](crate::Driver::begin_with)
/// takes it.
#[non_exhaustive]
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LastSet {
    /// The source's [label](crate::Source::label), for display.
    pub label: Arc<str>,
    /// The [hash](lb_core::stable_hash) of the source's [identity](crate::Source::identity): another source does not begin with the
    /// set.
    pub identity: u64,
    /// The set before [`Source::adapt`](crate::Source::adapt).
    pub backends: Snapshot,
    /// How long ago the source confirmed it last.
    pub age: Duration,
}

impl LastSet {
    /// The set of the source with this label and this hash of its identity.
    pub fn new(
        label: impl Into<Arc<str>>,
        identity: u64,
        backends: Snapshot,
        age: Duration,
    ) -> Self {
        Self {
            label: label.into(),
            identity,
            backends,
            age,
        }
    }

    /// The set of `source`.
    pub(crate) fn of(
        source: &dyn Source,
        label: Arc<str>,
        backends: Snapshot,
        age: Duration,
    ) -> Self {
        let identity = stable_hash(source.identity().as_bytes());
        Self::new(label, identity, backends, age)
    }
}
