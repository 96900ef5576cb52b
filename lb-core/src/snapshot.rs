//! All backends of a source at one moment.

use std::collections::btree_map::{BTreeMap, Entry};
use std::net::SocketAddr;
use std::sync::Arc;

use crate::backend::Backend;
use crate::backend_text::BackendParseError;

/// All backends at one moment, one entry per address.
///
/// The order is the source's and matters: nginx's round robin breaks ties by it. A source whose answers have
/// no stable order (DNS, an API) sorts them, so that equal sets make equal snapshots: applying an equal snapshot
/// changes nothing. Cloning costs one reference count.
#[doc(
    alias = "resolver update",
    alias = "EndpointSlice",
    alias = "server list"
)]
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Snapshot(Arc<[Backend]>);

impl Snapshot {
    /// Collects `backends` in their order. Of several with one address, the first of the most preferred priority
    /// is kept, at the position of the first: a backend listed both as primary and as backup is a primary.
    pub fn from_backends(backends: impl IntoIterator<Item = Backend>) -> Self {
        backends.into_iter().collect()
    }

    /// Collects backends at `addrs` in their order, everything else of them at its default.
    pub fn from_addrs(addrs: impl IntoIterator<Item = SocketAddr>) -> Self {
        addrs.into_iter().map(Backend::new).collect()
    }

    /// Collects backends as [`from_backends`](Self::from_backends) does, also from text: `IP:PORT`, `[IPv6]:PORT` or `unix:PATH`.
    ///
    /// ```
    /// use lb_core::Snapshot;
    ///
    /// let nodes = Snapshot::try_from_backends(["10.0.0.1:446", "10.0.0.2:446"])?;
    /// assert_eq!(nodes.len(), 2);
    /// # Ok::<(), lb_core::BackendParseError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The first text that names no backend.
    pub fn try_from_backends<B>(
        backends: impl IntoIterator<Item = B>,
    ) -> Result<Self, BackendParseError>
    where
        B: TryInto<Backend, Error: Into<BackendParseError>>,
    {
        let backends = backends.into_iter().map(TryInto::try_into);
        let snapshot: Result<Self, B::Error> = backends.collect();
        snapshot.map_err(Into::into)
    }

    /// The backends in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Backend> {
        self.0.iter()
    }

    /// The backends in order.
    pub(crate) fn as_slice(&self) -> &[Backend] {
        &self.0
    }

    /// How many backends there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no backend.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The backend at `addr`, by a linear search.
    pub fn find(&self, addr: SocketAddr) -> Option<&Backend> {
        self.iter().find(|backend| backend.addr == addr)
    }
}

impl FromIterator<Backend> for Snapshot {
    fn from_iter<I: IntoIterator<Item = Backend>>(backends: I) -> Self {
        let mut kept: Vec<Backend> = Vec::new();
        let mut seen = BTreeMap::new();
        for backend in backends {
            match seen.entry(backend.addr) {
                Entry::Vacant(entry) => {
                    entry.insert(kept.len());
                    kept.push(backend);
                }
                Entry::Occupied(entry) => {
                    let first = &mut kept[*entry.get()];
                    if backend.priority < first.priority {
                        *first = backend;
                    }
                }
            }
        }
        Self(kept.into())
    }
}

impl<'a> IntoIterator for &'a Snapshot {
    type Item = &'a Backend;
    type IntoIter = std::slice::Iter<'a, Backend>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::{Priority, Weight};

    fn backend(port: u16) -> Backend {
        Backend::new(SocketAddr::from(([127, 0, 0, 1], port)))
    }

    #[test]
    fn keeps_the_order_and_the_first_of_an_address() {
        let snapshot = Snapshot::from_backends([
            backend(3),
            backend(1).weight(Weight::new(7)),
            backend(2),
            backend(1),
        ]);
        let order: Vec<u16> = snapshot.iter().map(|b| b.addr.port()).collect();
        assert_eq!(order, [3, 1, 2]);
        let kept = snapshot.find(backend(1).addr).unwrap();
        assert_eq!(kept.weight, Weight::new(7));
    }

    #[test]
    fn a_primary_wins_over_its_own_backup() {
        let snapshot = Snapshot::from_backends([
            backend(1).priority(Priority::BACKUP),
            backend(1).weight(Weight::new(2)),
        ]);
        assert_eq!(snapshot.len(), 1);
        let kept = snapshot.find(backend(1).addr).unwrap();
        assert_eq!(
            (kept.priority, kept.weight),
            (Priority::PRIMARY, Weight::new(2))
        );
    }
}
