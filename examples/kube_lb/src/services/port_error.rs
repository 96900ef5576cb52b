//! Reasons for which a port is not served, in one word each.

use crate::objects::PortStatus;

/// Another object has the port.
pub(super) const PORT_CONFLICT: &str = "kube-lb.internal/PortConflict";

/// The port is not of TCP.
pub(super) const UNSUPPORTED: &str = "kube-lb.internal/UnsupportedProtocol";

/// The port is above the limit of the configuration.
pub(super) const TOO_MANY: &str = "kube-lb.internal/TooManyPorts";

/// The machine cannot listen on the port.
pub(super) const NOT_LISTENING: &str = "kube-lb.internal/NotListening";

/// Whether the object keeps a port with this status: an error of the machine does not give it to another object.
pub(super) fn is_held(port: &PortStatus) -> bool {
    let error = port.error.as_deref();
    error.is_none_or(|error| error == NOT_LISTENING)
}
