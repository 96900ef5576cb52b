//! The errors of building, binding and reloading a proxy.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use lb_core::Endpoint;

use crate::embedder_code::catch;
use crate::health::CheckSettingsError;

/// A setting that cannot work. It is found before anything is started.
#[non_exhaustive]
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BuildError {
    /// An active check cannot work as it is set up.
    #[error("the check \"{check}\" of upstream \"{upstream}\" cannot work: {source}")]
    HealthCheck {
        /// The upstream's name.
        upstream: Arc<str>,
        /// The check's name.
        check: Arc<str>,
        /// What is wrong with its settings.
        source: CheckSettingsError,
    },
    /// The proxy has no listener, which [`may_be_empty`](crate::ProxyBuilder::may_be_empty) would allow.
    #[error("the proxy has no listener: add one with `listen`")]
    NoListener,
    /// A listener without a socket of its own has an address that no wildcard of the proxy covers.
    #[error(
        "the listener on {addr} has no socket: add a listener on the wildcard of its port, or leave `bind_to_port` at its default"
    )]
    NoWildcard {
        /// What the listener is described with.
        addr: Endpoint,
    },
    /// A pool must follow its sources on a Tokio runtime, and there is none here.
    #[error("upstream \"{upstream}\" cannot be followed: call this inside of a Tokio runtime")]
    NoRuntime {
        /// The upstream's name.
        upstream: Arc<str>,
    },
    /// The upstream has no source, so it can never have a backend.
    #[error("upstream \"{upstream}\" has no source of backends: add one with `discovery`")]
    NoSource {
        /// The upstream's name.
        upstream: Arc<str>,
    },
    /// Code of the embedder panicked that is asked once, when a description is built.
    #[error("{code} panicked: {message}")]
    Panicked {
        /// The method, such as `Hooks::reads_first_bytes`.
        code: &'static str,
        /// The message of the panic, escaped.
        message: Box<str>,
    },
    /// A PROXY protocol header cannot be written.
    #[error("the PROXY protocol header of {of} cannot be sent")]
    SendProxy {
        /// The listener or upstream that sends it.
        of: Arc<str>,
        /// What is wrong with the header.
        source: crate::proxy_protocol::HeaderError,
    },
    /// A name of a virtual server is malformed, or decides what another one decides.
    #[error("the names of the virtual servers of {of} cannot be looked up")]
    ServerName {
        /// The listener.
        of: Arc<str>,
        /// What is wrong with the name.
        source: crate::server_names::ServerNameError,
    },
    /// A number is zero, so it would allow nothing at all.
    #[error("{setting} of {of} is zero: leave it out or give it at least 1")]
    Zero {
        /// What has the setting.
        of: Arc<str>,
        /// The setting.
        setting: &'static str,
    },
    /// A time-out is zero, so it would end everything that it should allow.
    #[error("the {timeout} time-out of a listener is zero: leave it out or give it a duration")]
    ZeroTimeout {
        /// The name of the time-out.
        timeout: &'static str,
    },
}

impl BuildError {
    /// Runs `build`, and makes an error of a panic. `name` is what panicked if no code inside of it has a name.
    pub(crate) fn catch<T>(
        name: &'static str,
        build: impl FnOnce() -> Result<T, Self>,
    ) -> Result<T, Self> {
        catch(name, build).unwrap_or_else(|panicked| {
            Err(Self::Panicked {
                code: panicked.code,
                message: panicked.message().into(),
            })
        })
    }

    pub(crate) fn zero(of: impl Into<Arc<str>>, setting: &'static str) -> Self {
        Self::Zero {
            of: of.into(),
            setting,
        }
    }
}

/// Why a proxy cannot start.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// An address or path cannot be listened on.
    #[error("cannot listen on {addr}")]
    Listen {
        /// The address or path.
        addr: Endpoint,
        /// The cause.
        source: io::Error,
    },
    /// An address is in use that overlaps with that of a listener which the reload would close. Linux lets the sockets of
    /// both be open only if one user has opened them.
    #[error(
        "cannot listen on {addr}: another program listens there, or the sockets of the listener on {other} belong to \
         another user; if so, remove that listener by a reload of its own, or restart"
    )]
    InTheWay {
        /// The address.
        addr: SocketAddr,
        /// The address of the listener that is in the way.
        other: SocketAddr,
        /// The cause.
        source: io::Error,
    },
    /// A worker cannot be started.
    #[error("cannot start a worker")]
    Worker {
        /// The cause.
        source: io::Error,
    },
}

/// Why a reload was not applied. The server goes on unchanged.
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
