//! The conditions of endpoints, and which endpoints take connections.

use lb_core::{AdminState, Backend, Snapshot};

/// The condition of an endpoint or a pod. A lesser one is better.
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

    /// The worst condition that takes connections, given the conditions of all endpoints: kube-proxy's rule (KEP-1669).
    /// Ready endpoints do, or, if there is none, those that terminate but still serve.
    pub(crate) fn worst_accepted(all: impl IntoIterator<Item = Self>) -> Self {
        let best = all.into_iter().min().unwrap_or(Self::Ready);
        best.min(Self::ServingTerminating)
    }
}

/// Makes a set of backends and their conditions, sorted by address.
///
/// An address that occurs more than once, as during the move of an endpoint between slices, counts once, in its best
/// condition. Terminating backends drain; backends that are not ready are left out.
pub(crate) fn admit(mut found: Vec<(Condition, Backend)>) -> Snapshot {
    found.retain(|(condition, _)| *condition != Condition::NotReady);
    found.sort_by_key(|(condition, backend)| (backend.addr, *condition));
    found.dedup_by_key(|(_, backend)| backend.addr);
    let worst = Condition::worst_accepted(found.iter().map(|(condition, _)| *condition));
    let backends = found.into_iter().map(|(condition, backend)| {
        if condition <= worst {
            backend
        } else {
            backend.admin(AdminState::Drain)
        }
    });
    backends.collect()
}
