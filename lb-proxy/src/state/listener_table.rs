//! The running listeners by their addresses, for sessions that pass from one to another.

use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock, Weak};

use super::listener::ListenerState;

/// The running listeners. A reload replaces them.
#[derive(Debug, Default)]
pub(crate) struct ListenerTable(RwLock<Vec<(SocketAddr, Weak<ListenerState>)>>);

impl ListenerTable {
    /// Replaces the listeners. The table does not keep them alive: their states refer to it.
    pub(crate) fn set<'a>(&self, listeners: impl Iterator<Item = &'a Arc<ListenerState>>) {
        let listeners = listeners.map(|state| (state.addr, Arc::downgrade(state)));
        let mut table = self.0.write().unwrap_or_else(PoisonError::into_inner);
        *table = listeners.collect();
    }

    /// The listener on `addr`, or else on the wildcard address of its family and port. O(listeners).
    pub(crate) fn find(&self, addr: SocketAddr) -> Option<Arc<ListenerState>> {
        let table = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let is_wildcard = |listening: &SocketAddr| {
            listening.ip().is_unspecified()
                && listening.is_ipv4() == addr.is_ipv4()
                && listening.port() == addr.port()
        };
        let exact = table.iter().find(|(listening, _)| *listening == addr);
        let found = exact.or_else(|| table.iter().find(|(listening, _)| is_wildcard(listening)));
        found?.1.upgrade()
    }
}
