//! Listening sockets that one process hands over to another.

use std::fmt;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use lb_core::Endpoint;
use socket2::SockRef;

/// All sockets of a listener, for a process that takes them over from another.
///
/// [`Handle::listening_sockets`](crate::Handle::listening_sockets) duplicates those of a running server. The other process gets
/// the descriptors in any way (inherited by exec, sent over a unix socket), groups them by
/// [`from_descriptors`](Self::from_descriptors), and gives each group to a listener by [`Listener::inherit`](crate::Listener::inherit).
/// As long as one process has a descriptor of a socket, the kernel keeps its queue of connections, and no client is refused or
/// reset.
///
/// The workers' sockets of one address (`SO_REUSEPORT`) have a queue each, so all of them are handed over. With them goes the
/// address guard, a socket that does not listen and keeps other programs of the same user from the address.
#[derive(Debug)]
pub struct InheritableSockets {
    pub(super) endpoint: Endpoint,
    pub(super) listening: Vec<OwnedFd>,
    pub(super) guard: Option<OwnedFd>,
    is_external: bool,
}

impl InheritableSockets {
    /// `listening` has at least one socket.
    pub(crate) const fn new(
        endpoint: Endpoint,
        listening: Vec<OwnedFd>,
        guard: Option<OwnedFd>,
        is_external: bool,
    ) -> Self {
        Self {
            endpoint,
            listening,
            guard,
            is_external,
        }
    }

    /// Groups `descriptors` by their addresses, in the order of their first sockets. A socket that does not listen is the guard
    /// of its address. Returns the descriptors that no listener can take besides: those that are no TCP or unix sockets with an
    /// address, connections, and guards without a listening socket.
    pub fn from_descriptors(
        descriptors: impl IntoIterator<Item = OwnedFd>,
    ) -> (Vec<Self>, Vec<OwnedFd>) {
        let mut groups: Vec<Self> = Vec::new();
        let mut rest = Vec::new();
        for descriptor in descriptors {
            let Some((endpoint, listens)) = describe(descriptor.as_fd()) else {
                rest.push(descriptor);
                continue;
            };
            let found = groups.iter().position(|group| group.endpoint == endpoint);
            let group = match found {
                Some(found) => &mut groups[found],
                None => {
                    groups.push(Self::new(endpoint, Vec::new(), None, false));
                    let last = groups.len() - 1;
                    &mut groups[last]
                }
            };
            if listens {
                group.listening.push(descriptor);
            } else {
                rest.extend(group.guard.replace(descriptor));
            }
        }
        let (groups, without): (Vec<_>, Vec<_>) = groups
            .into_iter()
            .partition(|group| !group.listening.is_empty());
        rest.extend(without.into_iter().filter_map(|group| group.guard));
        (groups, rest)
    }

    /// Sets whether another program opened the socket, such as systemd: see [`is_external`](Self::is_external).
    #[must_use]
    pub const fn external(mut self, is_external: bool) -> Self {
        self.is_external = is_external;
        self
    }

    /// Sets the path of a unix socket, if its name is another: the name stays what the socket was bound to, such as a path below
    /// `/proc/self/fd`.
    #[must_use]
    pub fn at_path(mut self, path: impl Into<Arc<Path>>) -> Self {
        if let Endpoint::Unix(own) = &mut self.endpoint {
            *own = path.into();
        }
        self
    }

    /// Whether the embedder gave the socket to the listener that runs, by [`Listener::from_std`](crate::Listener::from_std) or
    /// [`Listener::from_unix`](crate::Listener::from_unix). A listener that inherits it leaves its backlog and sharing as they
    /// are, and never removes the file of a unix socket. No socket says this of itself.
    pub const fn is_external(&self) -> bool {
        self.is_external
    }

    /// What the sockets listen on.
    pub const fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The address of the sockets, or the [key](Endpoint::unix_key) of their path.
    pub fn addr(&self) -> SocketAddr {
        self.endpoint.key()
    }

    /// The descriptors, those that listen first.
    pub fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.listening.iter().chain(&self.guard).map(AsFd::as_fd)
    }

    /// How many of them listen.
    pub fn len(&self) -> usize {
        self.listening.len()
    }

    /// Whether none listens. False for all that this crate makes.
    pub fn is_empty(&self) -> bool {
        self.listening.is_empty()
    }

    /// The sockets that listen; the guard is closed.
    pub fn into_listening(self) -> Vec<OwnedFd> {
        self.listening
    }
}

impl fmt::Display for InheritableSockets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.endpoint.fmt(f)
    }
}

/// The address of a stream socket and whether it listens.
fn describe(socket: BorrowedFd<'_>) -> Option<(Endpoint, bool)> {
    let socket = SockRef::from(&socket);
    if socket.r#type().ok()? != socket2::Type::STREAM {
        return None;
    }
    let addr = socket.local_addr().ok()?;
    let endpoint = match addr.as_socket() {
        Some(addr) => Endpoint::Tcp(addr),
        None => Endpoint::Unix(Arc::<Path>::from(addr.as_pathname()?)),
    };
    // A connection has a local address as well, but also a peer.
    let is_connected = socket.peer_addr().is_ok();
    let listens = socket.is_listener().ok()?;
    (!is_connected).then_some((endpoint, listens))
}
