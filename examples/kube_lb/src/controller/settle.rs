//! The time for which backends stay after the objects no longer show any.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

/// A slice that is replaced is deleted first, and a port is renamed in the Service before it is renamed in the slices. The
/// sources of lb-discovery wait as long.
const SETTLE: Duration = Duration::from_secs(1);

/// The upstreams whose backends are missing, since when.
#[derive(Debug, Default)]
pub(super) struct Settling(BTreeMap<Arc<str>, Instant>);

impl Settling {
    /// Whether the upstream `name`, which has backends and should have none, keeps them for now.
    pub(super) fn keeps(&mut self, name: &Arc<str>, now: Instant) -> bool {
        let since = self.0.entry(Arc::clone(name)).or_insert(now);
        let keeps = now < *since + SETTLE;
        if !keeps {
            self.0.remove(name);
        }
        keeps
    }

    /// The objects show backends of the upstream again.
    pub(super) fn found(&mut self, name: &str) {
        self.0.remove(name);
    }

    /// Forgets the upstreams that are not served.
    pub(super) fn retain(&mut self, is_served: impl Fn(&Arc<str>) -> bool) {
        self.0.retain(|name, _| is_served(name));
    }

    /// When the next upstream must be looked at again, and which ones wait.
    pub(super) fn next(&self) -> Option<Instant> {
        self.0.values().min().map(|since| *since + SETTLE)
    }

    /// The upstreams that wait.
    pub(super) fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.0.keys()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backends_stay_for_a_second() {
        let mut settling = Settling::default();
        let name: Arc<str> = "default/web:80".into();
        let began = Instant::now();
        let after = |millis: u64| began + Duration::from_millis(millis);
        assert!(settling.keeps(&name, began) && settling.keeps(&name, after(999)));
        assert_eq!(settling.next(), Some(after(1000)));
        // They were only replaced.
        settling.found(&name);
        assert_eq!(settling.next(), None);
        assert!(settling.keeps(&name, after(1500)) && settling.keeps(&name, after(2499)));
        assert!(!settling.keeps(&name, after(2500)));
        assert_eq!(settling.names().count(), 0);
        assert!(settling.keeps(&name, after(2500)));
        settling.retain(|_| false);
        assert_eq!(settling.next(), None);
    }
}
