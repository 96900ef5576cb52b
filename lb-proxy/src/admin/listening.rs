//! The address of a running admin server.

use std::ops::Deref;
use std::sync::{Arc, Weak};

use lb_core::Endpoint;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::listener::AdminSocket;
use crate::net::unix::FileId;

/// Where a running admin server listens. It does not keep the server or its socket alive.
#[derive(Clone, Debug)]
pub struct ListeningAdmin {
    pub(super) endpoint: Endpoint,
    pub(super) socket: Weak<OpenSocket>,
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
    pub(super) fn socket_on_port(&self, port: u16) -> Option<Arc<OpenSocket>> {
        let is_on_port = matches!(self.endpoint, Endpoint::Tcp(addr) if addr.port() == port);
        is_on_port.then(|| self.socket.upgrade()).flatten()
    }
}

/// The listening socket of a server, which says when it is closed.
#[derive(Debug)]
pub(super) struct OpenSocket {
    socket: AdminSocket,
    closed: CancellationToken,
    /// Dropped after `socket`, whose descriptor is closed then.
    _guard: DropGuard,
}

impl OpenSocket {
    pub(super) fn new(socket: AdminSocket) -> Self {
        let closed = CancellationToken::new();
        Self {
            socket,
            _guard: closed.clone().drop_guard(),
            closed,
        }
    }

    /// Cancelled once the socket is closed.
    pub(super) fn closed(&self) -> CancellationToken {
        self.closed.clone()
    }

    /// Whether clients wait in the kernel's queue.
    pub(super) fn has_clients(&self) -> bool {
        let mut waiting = [PollFd::new(&self.socket, PollFlags::IN)];
        poll(&mut waiting, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
    }
}

impl Deref for OpenSocket {
    type Target = AdminSocket;

    fn deref(&self) -> &AdminSocket {
        &self.socket
    }
}
