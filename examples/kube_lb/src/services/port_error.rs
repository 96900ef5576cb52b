//! Reasons for which a port is not served, in one word each.

use std::fmt;
use std::net::SocketAddr;

use crate::addresses::Owner;
use crate::objects::{PortStatus, ServicePort};

/// Another object has the port.
const PORT_CONFLICT: &str = "kube-lb.internal/PortConflict";

/// The port is not of TCP.
const UNSUPPORTED: &str = "kube-lb.internal/UnsupportedProtocol";

/// The port is above the limit of the configuration.
pub(super) const TOO_MANY: &str = "kube-lb.internal/TooManyPorts";

/// The machine cannot listen on the port.
const NOT_LISTENING: &str = "kube-lb.internal/NotListening";

/// Whether the object keeps a port with this status: an error of the machine does not give it to another object.
pub(super) fn is_held(port: &PortStatus) -> bool {
    let error = port.error.as_deref();
    error.is_none_or(|error| error == NOT_LISTENING)
}

/// Why a port is not served at an address. Its text is a sentence.
pub(super) enum PortProblem<'a> {
    Conflict { owner: &'a Owner, addr: SocketAddr },
    NotListening { addr: SocketAddr, problem: &'a str },
    TooMany { port: &'a ServicePort, limit: usize },
    Unsupported(&'a ServicePort),
}

impl PortProblem<'_> {
    /// The error of the port in the status.
    pub(super) const fn error(&self) -> &'static str {
        match self {
            Self::Conflict { .. } => PORT_CONFLICT,
            Self::NotListening { .. } => NOT_LISTENING,
            Self::TooMany { .. } => TOO_MANY,
            Self::Unsupported(_) => UNSUPPORTED,
        }
    }
}

impl fmt::Display for PortProblem<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conflict { owner, addr } => {
                write!(f, "{owner} has port {} of {}", addr.port(), addr.ip())
            }
            Self::NotListening { addr, problem } => {
                let (ip, port) = (addr.ip(), addr.port());
                write!(f, "cannot listen on port {port} of {ip}: {problem}")
            }
            Self::TooMany { port, limit } => {
                let port = port.port;
                write!(
                    f,
                    "port {port} is above the limit of {limit} ports a Service"
                )
            }
            Self::Unsupported(port) => {
                let protocol = port.protocol.as_deref().unwrap_or_default();
                let port = port.port;
                write!(f, "port {port} is of {protocol}, and only TCP is served")
            }
        }
    }
}
