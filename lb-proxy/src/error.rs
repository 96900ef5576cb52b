//! What can be wrong with a proxy's settings or its addresses.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

/// A setting that cannot work, found before anything is started.
#[non_exhaustive]
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BuildError {
    /// The proxy listens nowhere.
    #[error("the proxy has no listener: add one with `listen`")]
    NoListener,
    /// The upstream can never have a backend.
    #[error("upstream \"{upstream}\" has no source of backends: add one with `discovery`")]
    NoSource {
        /// The upstream's name.
        upstream: Arc<str>,
    },
    /// A PROXY protocol header that should be sent cannot be written.
    #[error("the PROXY protocol header of {of} cannot be sent")]
    SendProxy {
        /// The listener or upstream that sends it.
        of: Arc<str>,
        /// What is wrong with it.
        source: crate::proxy_protocol::HeaderError,
    },
    /// A time-out of zero would end what it should allow.
    #[error("the {timeout} time-out of a listener is zero: leave it out or give it a duration")]
    ZeroTimeout {
        /// Which time-out.
        timeout: &'static str,
    },
}

/// What keeps a proxy from starting.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// An address cannot be listened on.
    #[error("cannot listen on {addr}")]
    Listen {
        /// The address.
        addr: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// An address is in use that overlaps with that of a listener which the reload would close. Linux lets the sockets of both
    /// be open only if one user has opened them.
    #[error(
        "cannot listen on {addr}: another program listens there, or the sockets of the listener on {other} belong to \
         another user; if so, remove that listener by a reload of its own, or restart"
    )]
    InTheWay {
        /// The address.
        addr: SocketAddr,
        /// The address of the listener that is in the way.
        other: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// A worker cannot be started.
    #[error("cannot start a worker")]
    Worker {
        /// Why not.
        source: io::Error,
    },
}

/// What keeps a server from changing. It goes on as it was.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// A listener that is new cannot be opened.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// It accepts no more connections.
    #[error("the server is ending")]
    Ended,
}
