//! Backends of one snapshot, to be looked up while the next is read.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::backend::Backend;

/// Backends of the snapshot before, each with a value. Each is found once.
///
/// Snapshots mostly have the order of the one before. So the search tries the backend after the last one found, and
/// searches by address only if that is not the one.
pub(crate) struct Known<'a, T> {
    backends: Vec<Option<(&'a Backend, T)>>,
    next: usize,
    by_addr: Option<BTreeMap<SocketAddr, usize>>,
}

impl<'a, T: Copy> Known<'a, T> {
    pub(crate) fn new(backends: impl Iterator<Item = (&'a Backend, T)>) -> Self {
        Self {
            backends: backends.map(Some).collect(),
            next: 0,
            by_addr: None,
        }
    }

    /// The backend at `addr`, if it was in the snapshot before and is not found yet.
    pub(crate) fn take(&mut self, addr: SocketAddr) -> Option<(&'a Backend, T)> {
        let is_next =
            |found: &Option<(&Backend, T)>| found.is_some_and(|(backend, _)| backend.addr == addr);
        if !self.backends.get(self.next).is_some_and(is_next) {
            let backends = &self.backends;
            let by_addr = self.by_addr.get_or_insert_with(|| {
                let numbered = (0..).zip(backends);
                numbered
                    .filter_map(|(at, found)| Some((found.as_ref()?.0.addr, at)))
                    .collect()
            });
            self.next = *by_addr.get(&addr)?;
        }
        let found = self.backends[self.next].take();
        self.next += 1;
        found
    }

    /// The backends that were not found, in their order.
    pub(crate) fn left(self) -> impl Iterator<Item = (&'a Backend, T)> {
        self.backends.into_iter().flatten()
    }
}
