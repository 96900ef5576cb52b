//! What is said before the stream proper begins.

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
/// A preread does no I/O. The session reads for it and hands it all that has come so far, until it is satisfied, within
/// its time-out. What it consumes is gone; the rest goes to the backend first, from the buffer it was read into. A
/// listener without prereads pays one branch and reads nothing.
///
/// Where there is one, the client has to speak first: a backend that would do so is not connected to before the
/// prereads are satisfied, and a client that waits for it is reset when the time is over.
pub trait Preread: fmt::Debug + Send + Sync + 'static {
    /// Looks at the bytes that have come so far, `bytes` being all of them from the first on.
    ///
    /// # Errors
    ///
    /// If no further bytes can make this what the listener wants. The connection is reset then.
    fn read(
        &self,
        bytes: &[u8],
        context: &mut PrereadContext<'_>,
    ) -> Result<PrereadStatus, PrereadError>;

    /// How many bytes it may want to see. Default: 16 KiB, nginx's `preread_buffer_size`.
    fn limit(&self) -> usize {
        16 * 1024
    }

    /// How long the bytes may take. Default: `None`, the listener's
    /// [time-out](crate::Listener::preread_timeout).
    fn timeout(&self) -> Option<Duration> {
        None
    }

    /// Whether it may replace the client's address. Then rules and limits that go by the address wait for it instead
    /// of being applied to the peer. Default: no.
    fn names_client(&self) -> bool {
        false
    }
}

/// How far a [`Preread`] has got.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PrereadStatus {
    /// It has seen enough, and takes that many of the bytes away from what the backend will see.
    Done {
        /// Bytes that the backend does not get. More than there are means all.
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

    /// Sets who the client is, for rules, limits, hashing policies, hooks and logs.
    pub const fn set_client(&mut self, client: SocketAddr) {
        self.connection.client = client;
    }

    /// Sets what the client connected to at the first of the proxies in front.
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

    /// Chooses the upstream. One that no listener of the proxy names must be made known with
    /// [`ProxyBuilder::upstream`](crate::ProxyBuilder::upstream), or else nobody follows its sources.
    pub fn set_upstream(&mut self, upstream: &Upstream) {
        self.upstream = Some(upstream.clone());
    }
}

/// What is wrong with the first bytes of a connection.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct PrereadError(Box<dyn Error + Send + Sync>);

impl PrereadError {
    /// Wraps a reason, an error or a text.
    pub fn new(reason: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(reason.into())
    }
}
