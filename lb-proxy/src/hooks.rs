//! What an embedder may add to the life of a connection.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use lb_core::Backend;

use crate::identity::Identity;
use crate::proxy_protocol::ProxyHeader;
use crate::upstream::Upstream;

/// Called on the way of every connection of the listeners that have it; see [`Listener::hooks`](crate::Listener::hooks).
///
/// Every method has a default that does nothing. All run on the connection's task and hold up the other sessions of
/// its worker, so they must not block. A listener without hooks pays one branch for each.
pub trait Hooks: fmt::Debug + Send + Sync + 'static {
    /// A connection was accepted and is within the limits. Refusing resets it.
    fn accept(&self, connection: &Connection) -> Verdict {
        let _ = connection;
        Verdict::Serve
    }

    /// Which upstream serves it. Asked once, when the first bytes are known; `None` leaves it to the
    /// [prereads](crate::Preread) and the listener. Default: `None`. One that no listener names must be made known with
    /// [`ProxyBuilder::upstream`](crate::ProxyBuilder::upstream).
    fn upstream(&self, connection: &Connection) -> Option<Upstream> {
        let _ = connection;
        None
    }

    /// What hashing policies go by. Default: the octets of the client's address.
    fn hash_key(&self, connection: &Connection) -> HashKey {
        HashKey::from_ip(connection.client.ip())
    }

    /// An attempt to connect to a backend ended.
    fn attempt(&self, connection: &Connection, attempt: &Attempt<'_>) {
        let _ = (connection, attempt);
    }

    /// The session has its backend; bytes flow from now on.
    fn connected(&self, connection: &Connection, backend: &Backend) {
        let _ = (connection, backend);
    }

    /// The connection ended, in whichever way. Called once for each that was accepted, those refused included.
    fn close(&self, connection: &Connection, summary: &Summary<'_>) {
        let _ = (connection, summary);
    }
}

/// A connection from a client.
#[non_exhaustive]
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Connection {
    /// The listener it came in by.
    pub listener: SocketAddr,
    /// The address that the client connected to.
    pub local: SocketAddr,
    /// The other end of its socket.
    pub peer: SocketAddr,
    /// The client: the peer, unless a [`Preread`](crate::Preread) knew better.
    pub client: SocketAddr,
    pub(crate) identity: Option<Arc<Identity>>,
}

/// What the first bytes told, once they have been read. [`Hooks::accept`] is asked before, unless a preread
/// [names the client](crate::Preread::names_client).
impl Connection {
    /// The address that the client connected to at the first of the proxies in front; [`local`](Self::local) where
    /// there is none.
    pub fn destination(&self) -> SocketAddr {
        let known = self.identity.as_ref().and_then(|known| known.destination);
        known.unwrap_or(self.local)
    }

    /// The PROXY protocol header that the connection began with, if its sender is believed. Reads it again.
    pub fn proxy_header(&self) -> Option<ProxyHeader<'_>> {
        self.identity.as_ref()?.proxy_header()
    }

    /// The host that the client's TLS asks for (SNI), in lower case.
    pub fn server_name(&self) -> Option<&str> {
        self.identity.as_ref()?.server_name.as_deref()
    }

    /// The protocols that the client's TLS offers (ALPN), in its order of preference.
    pub fn alpn(&self) -> impl Iterator<Item = &[u8]> {
        let identity = self.identity.iter();
        identity.flat_map(|known| known.alpn.iter().map(|name| &**name))
    }
}

/// Whether a connection is served.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// It is reset.
    Refuse,
    /// It is served.
    Serve,
}

/// The bytes that hashing policies go by. Up to 30 of them are kept without an allocation.
#[derive(Clone, Eq, PartialEq)]
pub struct HashKey(Bytes);

#[derive(Clone, Eq, PartialEq)]
enum Bytes {
    Inline([u8; 30], u8),
    Long(Box<[u8]>),
}

impl HashKey {
    /// No key: hashing policies spread such connections like round robin.
    pub const fn none() -> Self {
        Self(Bytes::Inline([0; 30], 0))
    }

    /// The octets of `ip`. A client that came over IPv4 has one key on every kind of socket.
    pub fn from_ip(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(ip) => Self::from_bytes(&ip.octets()),
            IpAddr::V6(ip) => Self::from_bytes(&ip.octets()),
        }
    }

    /// Any bytes, such as a name or a part of an address.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let mut inline = [0; 30];
        match inline.get_mut(..bytes.len()) {
            Some(start) => {
                start.copy_from_slice(bytes);
                // At most 30.
                Self(Bytes::Inline(inline, bytes.len() as u8))
            }
            None => Self(Bytes::Long(bytes.into())),
        }
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Bytes::Inline(bytes, len) => &bytes[..usize::from(*len)],
            Bytes::Long(bytes) => bytes,
        }
    }
}

impl fmt::Debug for HashKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HashKey").field(&self.as_bytes()).finish()
    }
}

/// One attempt to connect to a backend.
#[non_exhaustive]
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// The backend.
    pub backend: &'a Backend,
    /// What came of it.
    pub outcome: AttemptOutcome,
    /// How long it took.
    pub elapsed: Duration,
}

/// What came of an attempt.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum AttemptOutcome {
    /// The client went away meanwhile.
    Abandoned,
    /// A connection.
    Connected,
    /// The backend refused, reset or cannot be reached; it is blamed.
    Failed,
    /// This machine lacks something; the backend is not blamed.
    Local,
    /// No answer in time; the backend is blamed if it had all of [`Timeouts::connect`](crate::Timeouts::connect).
    Timeout,
}

/// How a connection went.
#[non_exhaustive]
#[derive(Clone, Copy, Debug)]
pub struct Summary<'a> {
    /// Why it ended.
    pub reason: CloseReason,
    /// The backend that it was connected to, if any.
    pub backend: Option<&'a Backend>,
    /// Attempts to connect to a backend.
    pub attempts: u32,
    /// From accepting to the end.
    pub elapsed: Duration,
    /// From accepting to the connection with the backend, if there was one.
    pub connected_after: Option<Duration>,
    /// Bytes from the client to the backend.
    pub bytes_to_backend: u64,
    /// Bytes from the backend to the client.
    pub bytes_to_client: u64,
}

/// Why a connection ended.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum CloseReason {
    /// The proxy was shut down.
    Aborted,
    /// [`Access`](crate::Access) denies the client's address.
    AccessDenied,
    /// The backend was removed, and its sessions are ended: [`Parting`](crate::Parting).
    BackendRemoved,
    /// The backend reset its connection.
    BackendReset,
    /// The backend became unhealthy or was ejected, and its sessions are ended: [`Parting`](crate::Parting).
    BackendUnhealthy,
    /// The client went away before it had a backend.
    ClientGone,
    /// The client opens connections faster than its zone allows.
    ClientRate,
    /// The client reset its connection.
    ClientReset,
    /// The client has as many sessions as it may.
    ClientSessions,
    /// The zone of clients has no room for another.
    ClientZoneFull,
    /// Both sides sent all they had.
    Finished,
    /// Neither side ever sent anything.
    FirstByteTimeout,
    /// One side had ended, the other fell silent.
    HalfClosedTimeout,
    /// Both sides fell silent.
    IdleTimeout,
    /// It had lasted as long as it may.
    MaxAge,
    /// No backend could be had.
    NoBackend,
    /// The first bytes were not what the [`Preread`](crate::Preread) wants.
    Preread,
    /// The first bytes did not come in time.
    PrereadTimeout,
    /// The upstream's queue had no room.
    QueueFull,
    /// No backend became free in time.
    QueueTimeout,
    /// New connections come faster than the proxy or the listener allows.
    Rate,
    /// A hook refused it.
    Refused,
    /// The proxy or the listener has as many sessions as it may.
    Sessions,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_keep_their_bytes_whatever_their_length() {
        for len in [0, 4, 30, 31, 1000] {
            let bytes: Vec<u8> = (0..len).map(|i| i as u8).collect();
            assert_eq!(HashKey::from_bytes(&bytes).as_bytes(), bytes);
        }
        assert!(HashKey::none().as_bytes().is_empty());
        let mapped = HashKey::from_ip("::ffff:10.0.0.1".parse().unwrap());
        assert_eq!(mapped.as_bytes(), [10, 0, 0, 1]);
        assert!(size_of::<HashKey>() <= 32);
    }
}
