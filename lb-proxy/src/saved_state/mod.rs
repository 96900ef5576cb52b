//! State of a server that another process may begin with: the last good sets of the sources, and the state of the backends.
//!
//! [`Handle::export_state`](crate::Handle::export_state) exports it, and [`Proxy::restore`](crate::Proxy::restore) takes it. With
//! the feature `saved-state` it is kept in a file.

#[cfg(feature = "saved-state")]
mod file;
#[cfg(feature = "saved-state")]
mod json;
#[cfg(feature = "saved-state")]
mod schema;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use lb_core::BackendMemory;
use lb_discovery::LastSet;

#[cfg(feature = "saved-state")]
pub use file::StateFile;
#[cfg(feature = "saved-state")]
pub use json::SavedStateError;

/// What a server knows at one moment.
#[derive(Clone, Debug)]
pub struct SavedState {
    pub(crate) saved: SystemTime,
    pub(crate) upstreams: Vec<SavedUpstream>,
}

/// What a server knows of one upstream.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SavedUpstream {
    pub(crate) name: Arc<str>,
    pub(crate) sets: Vec<LastSet>,
    pub(crate) memories: Vec<BackendMemory>,
}

impl SavedState {
    /// When it was exported.
    pub const fn saved(&self) -> SystemTime {
        self.saved
    }

    /// The names of the upstreams that it knows something of.
    pub fn upstreams(&self) -> impl Iterator<Item = &str> {
        self.upstreams.iter().map(|upstream| &*upstream.name)
    }

    /// How many backends the sets of all sources have.
    pub fn backends(&self) -> usize {
        let sets = self.upstreams.iter().flat_map(|upstream| &upstream.sets);
        sets.map(|set| set.backends.len()).sum()
    }

    /// Takes what it knows of the upstream `name`, as of `now`.
    pub(crate) fn take(&mut self, name: &str, now: SystemTime) -> Option<SavedUpstream> {
        let elapsed = now.duration_since(self.saved).unwrap_or_default();
        let found = self
            .upstreams
            .iter()
            .position(|saved| *saved.name == *name)?;
        Some(self.upstreams.swap_remove(found).after(elapsed))
    }
}

impl SavedUpstream {
    /// The same once `time` has passed.
    fn after(mut self, time: Duration) -> Self {
        for set in &mut self.sets {
            set.age = set.age.saturating_add(time);
        }
        for memory in &mut self.memories {
            if let Some(failures) = &mut memory.failures {
                failures.since = failures.since.after(time);
            }
            if let Some(ejections) = &mut memory.ejections {
                ejections.until = ejections.until.after(time);
            }
            memory.warm_since = memory.warm_since.map(|since| since.after(time));
        }
        self
    }
}
