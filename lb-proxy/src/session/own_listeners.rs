//! Connections to own listeners: a client passes through a limited number of them.

use std::net::SocketAddr;

use socket2::Socket;

use super::pick::{Dial, DialingSession};
use crate::net::unix::own_key;

impl Dial<'_> {
    /// How many own listeners the client will have passed through when `to` accepts it; 0 if `to` is no own listener.
    pub(super) fn hops_to(&self, to: SocketAddr) -> u8 {
        let Some(session) = &self.session else {
            return 0;
        };
        let hops = &session.origin.listener.trackers().hops;
        if !hops.leads_back(to) {
            return 0;
        }
        // Another worker can accept a connection before the worker that made it has recorded it.
        let before = session.hops.max(hops.take(session.origin.peer()));
        before.saturating_add(1)
    }
}

impl DialingSession<'_> {
    /// Records a connection that an own listener will accept.
    pub(super) fn record_hop(&self, socket: &Socket, hops: u8) {
        let addr = || socket.local_addr().ok()?.as_socket();
        let from = (hops > 0).then(|| addr().or_else(|| own_key(socket)));
        if let Some(from) = from.flatten() {
            self.origin.listener.trackers().hops.record(from, hops);
        }
    }
}
