//! Prereads: readers of a connection's first bytes.

pub(crate) mod client_hello;
pub(crate) mod proxy_protocol;
pub(crate) mod trusted_networks;

use std::error::Error;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::connection::Connection;
use crate::identity::Identity;
use crate::server_names::ServerNames;
use crate::upstream::Upstream;

/// Reads the first bytes of a connection before a backend is picked: a PROXY protocol header, the name in a TLS
/// ClientHello.
///
/// A preread does no I/O. The session reads, and passes all bytes so far, until the preread is done or its time-out is
/// over. The backend does not get the bytes that it consumes; it gets the rest first, from the buffer they were read into.
/// A listener without prereads pays one branch and reads nothing.
///
/// With a preread the client must send first: the session connects to a backend only after the prereads are done, and a
/// client that waits for the backend's first byte is reset when the time-out is over.
pub trait Preread: fmt::Debug + Send + Sync + 'static {
    /// Reads all bytes so far, beginning with the first that no earlier preread has consumed.
    ///
    /// # Errors
    ///
    /// If no further bytes can make these valid. The connection is reset then.
    fn read(
        &self,
        bytes: &[u8],
        context: &mut PrereadContext<'_>,
    ) -> Result<PrereadStatus, PrereadError>;

    /// The largest number of bytes that it reads. Default: 16 KiB, nginx's `preread_buffer_size`.
    fn limit(&self) -> usize {
        16 * 1024
    }

    /// How long the bytes may take to arrive. Default: `None`, the listener's
    /// [time-out](crate::Listener::preread_timeout).
    fn timeout(&self) -> Option<Duration> {
        None
    }

    /// Whether it may replace the client's address. Then rules and limits by address are applied after it, to the client,
    /// instead of before it, to the peer. Default: no.
    fn names_client(&self) -> bool {
        false
    }
}

/// Whether a [`Preread`] is done.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PrereadStatus {
    /// It is done.
    Done {
        /// The number of bytes that the backend does not get. A number above that of the bytes so far means all.
        consumed: usize,
    },
    /// It needs more bytes.
    More,
}

/// What a [`Preread`] may change about a connection.
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
    /// The connection as it is known so far.
    pub const fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Sets the client's address for rules, limits, hash keys, hooks and logs.
    pub const fn set_client(&mut self, client: SocketAddr) {
        self.connection.client = client;
    }

    /// Sets the address that the client connected to at the first of the proxies in front.
    pub fn set_destination(&mut self, destination: SocketAddr) {
        self.identity().destination = Some(destination);
    }

    /// Keeps a PROXY protocol header with the connection, if there is a reader.
    pub(crate) fn keep_header(&mut self, header: &[u8]) {
        if self.is_kept {
            self.identity().header = header.into();
        }
    }

    /// Takes what the client's TLS asks for: looks the name up in the listener's table, and keeps it if there is a reader.
    pub(crate) fn set_names<'n>(
        &mut self,
        server_name: Option<&str>,
        alpn: impl Iterator<Item = &'n [u8]>,
    ) {
        if let Some((table, name)) = self.server_names.zip(server_name)
            && let Some(upstream) = table.find(name)
        {
            self.set_upstream(upstream);
        }
        if self.is_kept {
            let identity = self.identity();
            identity.server_name = server_name.map(Into::into);
            identity.alpn = alpn.map(Into::into).collect();
        }
    }

    fn identity(&mut self) -> &mut Identity {
        Arc::make_mut(self.connection.identity.get_or_insert_default())
    }

    /// Chooses the upstream, for protocols of the embedder's own. An upstream that no listener of the proxy names must be
    /// made known with [`ProxyBuilder::upstream`](crate::ProxyBuilder::upstream), or else no server follows its sources.
    pub fn set_upstream(&mut self, upstream: &Upstream) {
        self.upstream = Some(upstream.clone());
    }
}

/// Why the first bytes of a connection are invalid.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct PrereadError(Box<dyn Error + Send + Sync>);

impl PrereadError {
    /// Wraps a reason, an error or a text.
    pub fn new(reason: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(reason.into())
    }
}
