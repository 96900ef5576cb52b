//! Preread: the first bytes of a connection, read before a backend is picked.

pub(crate) mod client_hello;
pub(crate) mod proxy_protocol;
pub(crate) mod trusted_networks;

use std::error::Error;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::client_hello::ClientHello;
use crate::connection::Connection;
use crate::preread_info::PrereadInfo;
use crate::server_names::ServerNames;
use crate::upstream::Upstream;

/// Parses the first bytes of a connection before a backend is picked: a PROXY protocol header, a TLS ClientHello.
///
/// A preread does no I/O. The session reads, and calls it with all bytes that have arrived so far, until it is done or its
/// time-out passes. The bytes that it consumes are dropped. The session sends the rest to the backend first, from the
/// buffer that they were read into. A listener without prereads pays one branch and reads nothing. If it panics, the session
/// ends.
///
/// With a preread the client has to speak first. The session connects to no backend before all prereads are done, and
/// resets a client that waits for the server's first byte when the time-out passes.
pub trait Preread: fmt::Debug + Send + Sync + 'static {
    /// Parses `bytes`, all that have arrived so far from the first byte on.
    ///
    /// # Errors
    ///
    /// No continuation of the bytes is acceptable. The session then resets the connection.
    fn read(
        &self,
        bytes: &[u8],
        context: &mut PrereadContext<'_>,
    ) -> Result<PrereadStatus, PrereadError>;

    /// The most bytes that the session reads for it. Default: 16 KiB, nginx's `preread_buffer_size`.
    fn limit(&self) -> usize {
        16 * 1024
    }

    /// How long the session waits for the bytes. Default: `None`, the listener's
    /// [time-out](crate::Listener::preread_timeout).
    fn timeout(&self) -> Option<Duration> {
        None
    }

    /// Whether it may replace the client's address. Default: no.
    ///
    /// If so, access rules, limits by address and [`Hooks::accept`](crate::Hooks::accept) are applied right after it, to the
    /// new address instead of the peer's. The prereads behind the last one that names the client run once the client is
    /// admitted, so a client that is denied gets its answer before they read.
    fn names_client(&self) -> bool {
        false
    }
}

/// The progress of a [`Preread`].
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PrereadStatus {
    /// It needs no more bytes, and drops the first `consumed` of them.
    Done {
        /// How many bytes the backend does not receive. If more than have arrived, all are dropped.
        consumed: usize,
    },
    /// It needs more bytes.
    More,
}

/// The properties of a connection that a [`Preread`] reads and sets.
#[derive(Debug)]
pub struct PrereadContext<'a> {
    pub(crate) connection: Connection,
    pub(crate) upstream: Option<Upstream>,
    /// The listener's routes by server name.
    pub(crate) server_names: Option<&'a ServerNames<Upstream>>,
    /// Whether hooks, routes, keys or headers may read more than the client and the upstream.
    pub(crate) is_kept: bool,
}

impl PrereadContext<'_> {
    /// The connection as known so far.
    pub const fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Sets the client's address for access rules, limits, hash keys, hooks and logs.
    pub const fn set_client(&mut self, client: SocketAddr) {
        self.connection.client = client;
    }

    /// Sets the address that the client connected to at the first of the proxies in front.
    pub fn set_destination(&mut self, destination: SocketAddr) {
        self.info().destination = Some(destination);
    }

    /// Keeps a PROXY protocol header with the connection if a reader may ask for it.
    pub(crate) fn keep_header(&mut self, header: &[u8], is_trusted: bool) {
        if self.is_kept {
            let info = self.info();
            info.header = header.into();
            info.is_trusted = is_trusted;
        }
    }

    /// Routes by the server name that the client requests. Keeps name, protocols and version if a reader may ask for them.
    pub(crate) fn set_hello(&mut self, hello: &ClientHello<'_>) {
        let server_name = hello.server_name_bytes();
        if let Some((table, name)) = self.server_names.zip(server_name)
            && let Some(upstream) = table.find(name)
        {
            self.set_upstream(upstream);
        }
        if self.is_kept {
            let info = self.info();
            info.server_name = server_name.map(Into::into);
            info.alpn = hello.alpn().bytes().into();
            info.tls_version = Some(hello.version());
        }
    }

    fn info(&mut self) -> &mut PrereadInfo {
        Arc::make_mut(self.connection.preread.get_or_insert_default())
    }

    /// Chooses the upstream.
    ///
    /// An upstream that no listener of the proxy names must be added with
    /// [`ProxyBuilder::upstream`](crate::ProxyBuilder::upstream). Otherwise the proxy does not follow its sources.
    pub fn set_upstream(&mut self, upstream: &Upstream) {
        self.upstream = Some(upstream.clone());
    }
}

/// Why the first bytes of a connection were refused.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct PrereadError(Box<dyn Error + Send + Sync>);

impl PrereadError {
    /// Wraps a reason, an error or a text.
    pub fn new(reason: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(reason.into())
    }
}
