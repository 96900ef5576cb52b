//! The report of a live session.

use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use lb_core::{Backend, Endpoint};

use super::phase::SessionPhase;
use crate::client_hello::host::host;
use crate::net::stream::Stream;
use crate::net::tcp_info::TcpInfo;
use crate::preread_info::PrereadInfo;
use crate::session_id::SessionId;

/// A session at the moment of the query.
#[non_exhaustive]
#[derive(Clone, Debug)]
pub struct SessionReport {
    /// Its number.
    pub id: SessionId,
    /// How far it has come.
    pub phase: SessionPhase,
    /// The listener that serves it, by its bound address, or for a unix socket the [key](Endpoint::unix_key) of its path.
    pub listener: SocketAddr,
    /// The other end of the client's socket: an address, or the key of a unix socket.
    pub peer: SocketAddr,
    /// The client: the peer, unless a [`Preread`](crate::first_bytes::Preread) has set another address.
    pub client: SocketAddr,
    /// The name of its upstream. `None` until one is chosen.
    pub upstream: Option<Arc<str>>,
    /// The backend that it is connected or connects to.
    pub backend: Option<Arc<Backend>>,
    /// The time since it was accepted.
    pub age: Duration,
    /// Bytes of the client that the kernel has accepted for the backend.
    pub bytes_to_backend: u64,
    /// Bytes of the backend that the kernel has accepted for the client.
    pub bytes_to_client: u64,
    pub(super) preread: Option<Arc<PrereadInfo>>,
    pub(super) socket: Weak<Stream>,
}

impl SessionReport {
    /// Where the session is connected or connects to.
    pub fn backend_endpoint(&self) -> Option<Endpoint> {
        self.backend.as_ref().map(|backend| backend.endpoint())
    }

    /// The host that the client's TLS requests (SNI); see [`Connection::server_name`](crate::events::Connection::server_name).
    pub fn server_name(&self) -> Option<&str> {
        host(self.preread.as_ref()?.server_name.as_deref()?)
    }

    /// What the kernel reports of the connection with the backend, at the moment of this call. `None` unless the session
    /// relays over TCP now. Costs a system call, about a microsecond.
    pub fn backend_tcp(&self) -> Option<TcpInfo> {
        TcpInfo::of(&*self.socket.upgrade()?).ok()
    }

    /// The bytes of both directions.
    pub const fn bytes(&self) -> u64 {
        self.bytes_to_backend.saturating_add(self.bytes_to_client)
    }
}

#[cfg(feature = "serde")]
#[derive(serde::Serialize)]
struct SessionForm<'a> {
    id: SessionId,
    phase: SessionPhase,
    listener: String,
    peer: String,
    client: String,
    upstream: Option<&'a str>,
    backend: Option<&'a Backend>,
    server_name: Option<&'a str>,
    #[serde(serialize_with = "lb_core::serde_form::seconds")]
    age: Duration,
    bytes_to_backend: u64,
    bytes_to_client: u64,
}

/// Its fields and the [server name](Self::server_name). The key of a unix socket is written as `unix:`, without the path.
#[cfg(feature = "serde")]
impl serde::Serialize for SessionReport {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let shown = |addr| crate::net::unix::ShownClient(addr).to_string();
        let form = SessionForm {
            id: self.id,
            phase: self.phase,
            listener: shown(self.listener),
            peer: shown(self.peer),
            client: shown(self.client),
            upstream: self.upstream.as_deref(),
            backend: self.backend.as_deref(),
            server_name: self.server_name(),
            age: self.age,
            bytes_to_backend: self.bytes_to_backend,
            bytes_to_client: self.bytes_to_client,
        };
        form.serialize(serializer)
    }
}

/// The sessions that a [`SessionFilter`](super::SessionFilter) selects.
#[non_exhaustive]
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct SessionList {
    /// How many sessions the filter matches, those above its limit included.
    pub matched: usize,
    /// The selected sessions in the order that the filter asks for.
    pub sessions: Vec<SessionReport>,
}
