//! The ordered union of the sets of several sources.

use std::sync::Arc;

use lb_core::Snapshot;

/// Joins `sets`: their order is kept and, within each, that of its backends.
///
/// Of several backends with one address the one in the most preferred tier counts and, within a tier, the first, as
/// [`Snapshot::from_backends`] says. O(sets) where at most one of them has backends, because that one is shared.
pub(crate) fn union<'a>(sets: impl Iterator<Item = &'a Snapshot>) -> Snapshot {
    let mut filled = sets.filter(|set| !set.is_empty());
    let Some(first) = filled.next() else {
        return Snapshot::default();
    };
    let Some(second) = filled.next() else {
        return first.clone();
    };
    let backends = [first, second].into_iter().chain(filled).flatten();
    backends.cloned().collect()
}

/// Sets [`Backend::source`](field@lb_core::Backend::source) to `label` in every backend that has none.
pub(crate) fn labelled(set: Snapshot, label: &Arc<str>) -> Snapshot {
    if set.iter().all(|backend| backend.source.is_some()) {
        return set;
    }
    let backends = set.iter().map(|backend| {
        let mut backend = backend.clone();
        backend.source.get_or_insert_with(|| Arc::clone(label));
        backend
    });
    backends.collect()
}
