//! The difference between two snapshots.

use std::net::SocketAddr;

use crate::backend::Backend;
use crate::known::Known;
use crate::snapshot::Snapshot;

/// The changes of one update, by address.
#[non_exhaustive]
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Delta {
    /// Addresses that were not there before.
    pub added: Vec<SocketAddr>,
    /// Addresses of backends that differ in any field.
    pub changed: Vec<SocketAddr>,
    /// Addresses that were removed.
    pub removed: Vec<SocketAddr>,
}

impl Delta {
    /// The changes from `old` to `new`, in the order of each. O(n).
    pub fn between(old: &Snapshot, new: &Snapshot) -> Self {
        let mut known = Known::new(old.iter().map(|backend| (backend, ())));
        let mut delta = Self::default();
        for backend in new {
            let before = known.take(backend.addr);
            delta.compare(before.map(|(before, ())| before), backend);
        }
        delta.removed = known.left().map(|(backend, ())| backend.addr).collect();
        delta
    }

    /// Adds `backend`, if it is new or differs from the one `before`. Returns whether it did.
    pub(crate) fn compare(&mut self, before: Option<&Backend>, backend: &Backend) -> bool {
        match before {
            None => self.added.push(backend.addr),
            Some(before) if before != backend => self.changed.push(backend.addr),
            Some(_) => return false,
        }
        true
    }

    /// Whether no backend was added, changed or removed.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.changed.is_empty() && self.removed.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Weight;

    fn backend(port: u16) -> Backend {
        Backend::new(SocketAddr::from(([127, 0, 0, 1], port)))
    }

    fn ports(addrs: &[SocketAddr]) -> Vec<u16> {
        addrs.iter().map(SocketAddr::port).collect()
    }

    #[test]
    fn a_delta_lists_added_changed_and_removed_addresses() {
        let old = Snapshot::from_backends([backend(1), backend(2), backend(3)]);
        let new =
            Snapshot::from_backends([backend(4), backend(3), backend(2).weight(Weight::ZERO)]);
        let delta = Delta::between(&old, &new);
        assert_eq!(ports(&delta.added), [4]);
        assert_eq!(ports(&delta.changed), [2]);
        assert_eq!(ports(&delta.removed), [1]);
        assert!(Delta::between(&new, &new.clone()).is_empty());
    }
}
