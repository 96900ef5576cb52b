//! Listeners without a socket of their own: a wildcard's socket accepts their connections.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use socket2::SockRef;

use super::bind::BindConfig;
use crate::net::stream::Stream;
use crate::state::listener::ListenerState;

/// The listeners whose connections one wildcard's socket accepts, by their addresses.
#[derive(Debug, Default)]
pub(crate) struct CoveredListeners(HashMap<IpAddr, Arc<ListenerState>>);

impl CoveredListeners {
    pub(crate) fn insert(&mut self, listener: &Arc<ListenerState>) {
        self.0.insert(listener.addr.ip(), Arc::clone(listener));
    }

    /// The listener of a connection that `wildcard` has accepted, by the local address of `client`. Takes a system call,
    /// unless there are no covered listeners.
    pub(crate) fn listener_of<'a>(
        &'a self,
        client: &Stream,
        wildcard: &'a Arc<ListenerState>,
    ) -> &'a Arc<ListenerState> {
        if self.0.is_empty() {
            return wildcard;
        }
        let Ok(local) = client.local_addr() else {
            return wildcard;
        };
        let Some(listener) = self.find(local.ip().to_canonical()) else {
            return wildcard;
        };
        let options = listener.route.client_options;
        if options != wildcard.route.client_options {
            let socket = SockRef::from(client);
            // They fail only if the client has reset the connection, which the session will notice.
            let _ = socket.set_tcp_nodelay(options.nodelay);
            let _ = options.apply(&socket);
        }
        listener
    }

    fn find(&self, local: IpAddr) -> Option<&Arc<ListenerState>> {
        let any = || self.0.get(&IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let exact = self.0.get(&local);
        exact.or_else(|| any().filter(|_| local.is_ipv4()))
    }
}

/// The index of the socket that accepts the connections to `addr`, of those with these addresses: the wildcard of its
/// family, or else one of both families.
pub(crate) fn wildcard_of<'a>(
    addr: SocketAddr,
    bound: impl Iterator<Item = (usize, &'a BindConfig)>,
) -> Option<usize> {
    let covering = bound.filter(|(_, config)| config.addr != addr && config.covers(addr));
    let nearest = covering.min_by_key(|(_, config)| config.addr.is_ipv4() != addr.is_ipv4());
    nearest.map(|(index, _)| index)
}
