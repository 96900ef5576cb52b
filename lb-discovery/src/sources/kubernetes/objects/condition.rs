//! What is said about an endpoint, and who may have connections because of it.

use lb_core::{AdminState, Backend, Snapshot};

/// What the conditions of an endpoint or a pod come to; a lesser one is better.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Condition {
    /// Takes connections.
    Ready,
    /// Is being deleted and still passes its probe.
    ServingTerminating,
    /// Is being deleted and does not pass its probe.
    Terminating,
    /// Starts, or fails its probe.
    NotReady,
}

impl Condition {
    pub(crate) const fn of(ready: bool, serving: bool, terminating: bool) -> Self {
        match (ready, serving, terminating) {
            (true, _, _) => Self::Ready,
            (_, true, true) => Self::ServingTerminating,
            (_, false, true) => Self::Terminating,
            (_, _, false) => Self::NotReady,
        }
    }

    /// The worst condition that still takes connections when these are all: kube-proxy's rule (KEP-1669). Backends
    /// that are ready, or, where there is none, those that terminate but still serve.
    pub(crate) fn bar(all: impl IntoIterator<Item = Self>) -> Self {
        let best = all.into_iter().min().unwrap_or(Self::Ready);
        best.min(Self::ServingTerminating)
    }
}

/// The set of what was found, sorted by address.
///
/// An address that was found more than once, as an endpoint that moves between slices is, counts once, in its best
/// condition. What terminates drains; what is not ready is left out.
pub(crate) fn admit(mut found: Vec<(Condition, Backend)>) -> Snapshot {
    found.retain(|(condition, _)| *condition != Condition::NotReady);
    found.sort_by_key(|(condition, backend)| (backend.addr, *condition));
    found.dedup_by_key(|(_, backend)| backend.addr);
    let bar = Condition::bar(found.iter().map(|(condition, _)| *condition));
    let backends = found.into_iter().map(|(condition, backend)| {
        if condition <= bar {
            backend
        } else {
            backend.with_admin(AdminState::Drain)
        }
    });
    backends.collect()
}
