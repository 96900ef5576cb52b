//! A client's connection, as hooks, routes and hash keys see it.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use lb_core::Endpoint;

use crate::client_hello::TlsVersion;
use crate::client_hello::host::host;
use crate::preread_info::PrereadInfo;
use crate::proxy_protocol::ProxyHeader;
use crate::session_data::SessionData;
use crate::session_id::SessionId;

/// A connection from a client.
///
/// The addresses of a unix socket are [keys](Endpoint::unix_key): see [`client_endpoint`](Self::client_endpoint) and
/// [`local_endpoint`](Self::local_endpoint).
#[non_exhaustive]
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Connection {
    /// The listener that accepted it.
    pub listener: SocketAddr,
    /// The address that the client connected to.
    pub local: SocketAddr,
    /// The other end of its socket.
    pub peer: SocketAddr,
    /// The client: the peer, unless a [`Preread`](crate::first_bytes::Preread) has set another address.
    pub client: SocketAddr,
    pub(crate) session: Option<SessionId>,
    /// That of the listener or the virtual server.
    pub(crate) label: Option<Arc<str>>,
    /// The path of the listener's unix socket.
    pub(crate) unix: Option<Arc<Path>>,
    /// The path that the client's unix socket is bound to.
    pub(crate) peer_unix: Option<Arc<Path>>,
    pub(crate) preread: Option<Arc<PrereadInfo>>,
    pub(crate) data: Option<SessionData>,
    pub(crate) is_dry_run: bool,
}

impl Connection {
    /// A connection that `client` made to `local`, without first bytes and data: for tests of functions that take one.
    pub const fn new(client: SocketAddr, local: SocketAddr) -> Self {
        Self {
            listener: local,
            local,
            peer: client,
            client,
            session: None,
            label: None,
            unix: None,
            peer_unix: None,
            preread: None,
            data: None,
            is_dry_run: false,
        }
    }

    /// Whether no client has made it: an operator asks where such a connection would go. Functions that get it then log and
    /// count nothing.
    pub const fn is_dry_run(&self) -> bool {
        self.is_dry_run
    }

    /// The number of its session, which logs, [`Summary::id`](crate::events::Summary::id) and
    /// [`Handle::sessions`](crate::Handle::sessions) have as well. `None` if no client has made it.
    #[doc(alias = "$connection")]
    pub const fn session_id(&self) -> Option<SessionId> {
        self.session
    }

    /// This connection as that of the session with this number: for tests of functions that take a connection.
    #[must_use]
    pub const fn with_session_id(mut self, id: SessionId) -> Self {
        self.session = Some(id);
        self
    }

    /// This connection with data as [`Listener::session_data`](crate::Listener::session_data) creates it.
    #[must_use]
    pub fn with_data<T: Send + Sync + 'static>(mut self, data: T) -> Self {
        self.data = Some(SessionData::new(data));
        self
    }

    /// This connection with a server name as a client's TLS would send it (SNI): for questions such as
    /// [`Upstream::explain_connection`](crate::Upstream::explain_connection).
    #[must_use]
    pub fn with_server_name(mut self, name: &[u8]) -> Self {
        let info = self.preread.take();
        let mut info = info.map_or_else(PrereadInfo::default, Arc::unwrap_or_clone);
        info.server_name = Some(name.into());
        self.preread = Some(Arc::new(info));
        self
    }

    /// This connection with the label of its listener: for tests of functions that take a connection.
    #[must_use]
    pub fn with_label(mut self, label: impl Into<Arc<str>>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// The [label](crate::Listener::label) of its listener, or of the virtual server that its first bytes chose: the listener's
    /// name for hooks and functions. `None` without a label.
    pub fn label(&self) -> Option<&str> {
        self.label.as_deref()
    }

    /// The embedder's data of the session, which [`Listener::session_data`](crate::Listener::session_data) creates.
    /// `None` if the listener creates none, or values of another type.
    pub fn data<T: 'static>(&self) -> Option<&T> {
        self.data.as_ref()?.get()
    }
}

impl Connection {
    /// The client: an address, or for a client on a unix socket the path that it is bound to, if any, or else
    /// [`Endpoint::unnamed`], unless a preread has set an address.
    #[doc(alias = "$remote_addr")]
    pub fn client_endpoint(&self) -> Endpoint {
        endpoint(self.client, self.peer_unix.as_ref())
    }

    /// The other end of the client's socket: an address, or for a unix socket the path that it is bound to, if any, or else
    /// [`Endpoint::unnamed`].
    pub fn peer_endpoint(&self) -> Endpoint {
        endpoint(self.peer, self.peer_unix.as_ref())
    }

    /// What the listener listens on: its bound address, or the path of a unix socket.
    pub fn listener_endpoint(&self) -> Endpoint {
        endpoint(self.listener, self.unix.as_ref())
    }

    /// What the client connected to: an address, or the path of a unix socket.
    #[doc(alias = "$server_addr")]
    pub fn local_endpoint(&self) -> Endpoint {
        endpoint(self.local, self.unix.as_ref())
    }
}

fn endpoint(addr: SocketAddr, path: Option<&Arc<Path>>) -> Endpoint {
    match (Endpoint::is_unix_key(addr), path) {
        (false, _) => Endpoint::Tcp(addr),
        (true, Some(path)) => Endpoint::Unix(Arc::clone(path)),
        (true, None) => Endpoint::unnamed(),
    }
}

/// Properties that the first bytes contain. They are set once the first bytes have been read.
///
/// [`Hooks::accept`](crate::Hooks::accept) runs before that. If a preread
/// [names the client](crate::first_bytes::Preread::names_client), the hook runs after the last such one, and sees what the
/// prereads up to that one found.
impl Connection {
    /// The address that the client connected to at the first of the proxies in front.
    ///
    /// [`local`](Self::local) if there is no such proxy.
    pub fn destination(&self) -> SocketAddr {
        let sent = self.preread.as_ref().and_then(|info| info.destination);
        sent.unwrap_or(self.local)
    }

    /// The PROXY protocol header that the connection began with, if its sender is trusted. Parses it at each call.
    pub fn proxy_header(&self) -> Option<ProxyHeader<'_>> {
        let info = self.preread.as_ref()?;
        info.proxy_header().filter(|_| info.is_trusted)
    }

    /// The PROXY protocol header that the connection began with, trusted or not. A client can write
    /// anything into it. Parses it at each call.
    #[doc(alias = "$proxy_protocol_addr")]
    pub fn unverified_proxy_header(&self) -> Option<ProxyHeader<'_>> {
        self.preread.as_ref()?.proxy_header()
    }

    /// The host that the client's TLS requests (SNI), in the client's letters: compare it without case. It has no port and
    /// no character that would garble a log; a dot at its end is kept. `None` if the client requests none, or a name that
    /// is no host ([`ClientHello::server_name`](crate::client_hello::ClientHello::server_name) says which). Costs one pass
    /// over the name.
    pub fn server_name(&self) -> Option<&str> {
        host(self.server_name_bytes()?)
    }

    /// The server name as the client's TLS sent it: any bytes. `None` if it sent no name.
    #[doc(alias = "$ssl_preread_server_name")]
    pub fn server_name_bytes(&self) -> Option<&[u8]> {
        self.preread.as_ref()?.server_name.as_deref()
    }

    /// The highest version of TLS that the client offers. `None` if it sent no ClientHello.
    #[doc(alias = "$ssl_preread_protocol")]
    pub fn tls_version(&self) -> Option<TlsVersion> {
        self.preread.as_ref()?.tls_version
    }

    /// The protocols that the client's TLS offers (ALPN), in its order of preference.
    pub fn alpn(&self) -> impl Iterator<Item = &[u8]> {
        let info = self.preread.iter();
        info.flat_map(|info| info.alpn())
    }
}
