//! The time for which backends stay after the objects no longer show any.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use lb_proxy::lb_core::Snapshot;
use tokio::time::Instant;

use crate::clusters::ClusterSet;

/// A slice that is replaced is deleted first, and a port is renamed in the Service before it is renamed in the slices. The
/// sources of lb-discovery wait as long.
const SETTLE: Duration = Duration::from_secs(1);

/// The last sets of the clusters, by upstream and the name of the cluster.
#[derive(Debug, Default)]
pub(super) struct Settling(BTreeMap<Arc<str>, BTreeMap<String, LastSet>>);

#[derive(Debug)]
struct LastSet {
    set: Snapshot,
    /// Since when the objects do not show it any more.
    missing_since: Option<Instant>,
}

impl Settling {
    /// `sets` of the upstream `name`, with the last one in the place of each that is missing, for a while.
    pub(super) fn settle<'a>(
        &mut self,
        name: &Arc<str>,
        sets: Vec<ClusterSet<'a>>,
        now: Instant,
    ) -> Vec<ClusterSet<'a>> {
        let known = self.0.entry(Arc::clone(name)).or_default();
        known.retain(|cluster, _| sets.iter().any(|set| set.place.name == *cluster));
        let settled = sets.into_iter().map(|ClusterSet { place, set }| {
            let set = match set {
                Ok(set) => {
                    // Of equal sets the one that is in use stays.
                    let last = known.remove(&place.name).map(|last| last.set);
                    let set = last.filter(|last| *last == set).unwrap_or(set);
                    let last = LastSet {
                        set: set.clone(),
                        missing_since: None,
                    };
                    known.insert(place.name.clone(), last);
                    Ok(set)
                }
                Err(reason) => {
                    let last = known.get_mut(&place.name);
                    let last = last.and_then(|last| last.kept(now));
                    if last.is_none() {
                        known.remove(&place.name);
                    }
                    last.ok_or(reason)
                }
            };
            ClusterSet { place, set }
        });
        settled.collect()
    }

    /// Forgets the upstreams that are not served.
    pub(super) fn retain(&mut self, is_served: impl Fn(&Arc<str>) -> bool) {
        self.0.retain(|name, _| is_served(name));
    }

    /// When the next upstream must be looked at again.
    pub(super) fn next(&self) -> Option<Instant> {
        let known = self.0.values().flat_map(BTreeMap::values);
        let since = known.filter_map(|last| last.missing_since);
        since.min().map(|since| since + SETTLE)
    }

    /// The upstreams of which a set is missing.
    pub(super) fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        let is_missing = |known: &BTreeMap<String, LastSet>| {
            known.values().any(|last| last.missing_since.is_some())
        };
        let missing = self.0.iter().filter(move |(_, known)| is_missing(known));
        missing.map(|(name, _)| name)
    }
}

impl LastSet {
    /// The set, if it stays although the objects do not show it.
    fn kept(&mut self, now: Instant) -> Option<Snapshot> {
        let since = *self.missing_since.get_or_insert(now);
        let keeps = !self.set.is_empty() && now < since + SETTLE;
        keeps.then(|| self.set.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clusters::ClusterPlace;

    #[test]
    fn backends_stay_for_a_second() {
        let mut settling = Settling::default();
        let name: Arc<str> = "default/web:80".into();
        let [west, east] = ["west", "east"].map(|name| ClusterPlace {
            name: name.to_owned(),
            ..ClusterPlace::default()
        });
        let began = Instant::now();
        let filled = Snapshot::from_addrs(["10.0.0.1:80".parse().unwrap()]);
        let mut look = |of_west: Option<&Snapshot>, of_east: Option<&Snapshot>, millis: u64| {
            let now = began + Duration::from_millis(millis);
            let set = |set: Option<&Snapshot>| set.cloned().ok_or_else(|| "gone".to_owned());
            let sets = [(&west, set(of_west)), (&east, set(of_east))];
            let sets = sets.map(|(place, set)| ClusterSet { place, set });
            let settled = settling.settle(&name, sets.into(), now);
            let kept: Vec<_> = settled.iter().map(|set| set.set.is_ok()).collect();
            (kept, settling.next().map(|at| (at - began).as_millis()))
        };
        let full = Some(&filled);
        assert_eq!(look(full, full, 0), (vec![true, true], None));
        assert_eq!(look(full, None, 100), (vec![true, true], Some(1100)));
        assert_eq!(look(None, None, 1099), (vec![true, true], Some(1100)));
        assert_eq!(look(None, None, 1100), (vec![true, false], Some(2099)));
        // It was only replaced.
        assert_eq!(look(full, None, 1200), (vec![true, false], None));
        assert_eq!(look(None, None, 1300), (vec![true, false], Some(2300)));
        assert_eq!(look(None, None, 2300), (vec![false, false], None));
        // Nothing waits for an empty set.
        let empty = Snapshot::default();
        assert_eq!(look(Some(&empty), full, 3000), (vec![true, true], None));
        assert_eq!(look(None, full, 3001), (vec![false, true], None));
        assert_eq!(look(None, None, 3002), (vec![false, true], Some(4002)));
        assert_eq!(settling.names().count(), 1);
        settling.retain(|_| false);
        assert_eq!((settling.next(), settling.names().count()), (None, 0));
    }
}
