//! The errors of building, binding and reloading a proxy.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

/// A setting that cannot work. It is found before anything starts.
#[non_exhaustive]
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BuildError {
    /// The proxy has no listener.
    #[error("the proxy has no listener: add one with `listen`")]
    NoListener,
    /// The upstream has no source of backends.
    #[error("upstream \"{upstream}\" has no source of backends: add one with `discovery`")]
    NoSource {
        /// The upstream's name.
        upstream: Arc<str>,
    },
    /// The PROXY protocol header to send cannot be written.
    #[error("the PROXY protocol header of {of} cannot be sent")]
    SendProxy {
        /// The listener or upstream that sends it.
        of: Arc<str>,
        /// Why.
        source: crate::proxy_protocol::HeaderError,
    },
    /// A time-out is zero, which would end every session at once.
    #[error("the {timeout} time-out of a listener is zero: remove it or set a duration")]
    ZeroTimeout {
        /// The name of the time-out.
        timeout: &'static str,
    },
}

/// Why a proxy cannot start.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The kernel refuses to listen on an address.
    #[error("cannot listen on {addr}")]
    Listen {
        /// The address.
        addr: SocketAddr,
        /// The kernel's error.
        source: io::Error,
    },
    /// An address is in use, and it overlaps with the address of a listener that the reload would close.
    ///
    /// Linux allows both sockets to be open only if the same user opened them.
    #[error(
        "cannot listen on {addr}: another program listens there, or the sockets of the listener on {other} belong to \
         another user; if so, remove that listener by a reload of its own, or restart"
    )]
    InTheWay {
        /// The address.
        addr: SocketAddr,
        /// The address of the listener that is in the way.
        other: SocketAddr,
        /// The kernel's error.
        source: io::Error,
    },
    /// A worker cannot be started.
    #[error("cannot start a worker")]
    Worker {
        /// The kernel's error.
        source: io::Error,
    },
}

/// Why a server cannot reload. It continues unchanged.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// A new listener cannot be opened.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The server is shutting down and accepts no more connections.
    #[error("the server is shutting down")]
    Ended,
}
