//! The address of a running admin server.

use std::sync::{Arc, Weak};

use lb_core::Endpoint;

use super::listener::AdminSocket;
use crate::net::unix::FileId;

/// Where a running admin server listens. It does not keep the server or its socket alive.
#[derive(Clone, Debug)]
pub struct ListeningAdmin {
    pub(super) endpoint: Endpoint,
    pub(super) socket: Weak<AdminSocket>,
    /// The file of a unix socket.
    pub(super) file: Option<FileId>,
}

impl ListeningAdmin {
    /// Whether clients of `endpoint` reach the server: it is its address, or a name of its file, by another path if a directory
    /// has two. False if the file was removed or replaced.
    pub fn is_at(&self, endpoint: &Endpoint) -> bool {
        match endpoint {
            Endpoint::Unix(path) => self.file.is_some() && FileId::of(path).ok() == self.file,
            endpoint => *endpoint == self.endpoint && self.socket.strong_count() > 0,
        }
    }

    /// What it listens on, with the port that the kernel chose.
    pub const fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The socket, if it is one of TCP on this port.
    pub(super) fn socket_on_port(&self, port: u16) -> Option<Arc<AdminSocket>> {
        let is_on_port = matches!(self.endpoint, Endpoint::Tcp(addr) if addr.port() == port);
        is_on_port.then(|| self.socket.upgrade()).flatten()
    }
}
