//! Which other sockets may be bound to the address of a listener.
//!
//! The workers' sockets of one listener have `SO_REUSEPORT`, by which the kernel spreads connections. The kernel would let
//! any program of the same user join them. So a guard holds the address too: a socket that does not listen and has neither
//! `SO_REUSEPORT` nor `SO_REUSEADDR` once the workers' sockets are open. A socket that binds there later conflicts with
//! the guard.
//!
//! Linux skips that comparison for the address that was bound last with `SO_REUSEPORT` on a port (`fastreuseport` in
//! `inet_csk_get_port`). [`settle`] therefore binds two addresses that no program serves, and closes them again.
//!
//! A reload that opens an address which overlaps with one that it closes relaxes the old sockets, so that both are open
//! for a moment. The kernel allows it for sockets of one user.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::Listening;
use crate::net::acceptor::Acceptor;

/// Sockets that hold the address of a listener.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) listening: Listening,
    /// One for each worker.
    pub(crate) sockets: Vec<Arc<Acceptor>>,
    pub(super) guard: Option<Socket>,
    /// They were opened elsewhere; all are one socket.
    pub(crate) taken: bool,
}

impl Held {
    /// How many descriptors they are.
    pub(crate) fn descriptors(&self) -> u64 {
        (self.sockets.len() + usize::from(self.guard.is_some())) as u64
    }

    /// Whether [`settle`] must follow when they were opened.
    pub(crate) const fn is_guarded(&self) -> bool {
        self.guard.is_some()
    }

    /// Lets sockets with `SO_REUSEPORT` bind beside them.
    pub(crate) fn relax(&self) -> io::Result<()> {
        self.set_reuse_port(true)
    }

    /// Lets only those bind beside them that the listener is to share with.
    pub(crate) fn tighten(&self) -> io::Result<()> {
        if self.listening.reuse_port {
            return Ok(());
        }
        self.set_reuse_port(false)
    }

    fn set_reuse_port(&self, on: bool) -> io::Result<()> {
        match (&self.guard, self.sockets.first()) {
            (Some(guard), _) => guard.set_reuse_port(on),
            (None, Some(socket)) => SockRef::from(&**socket).set_reuse_port(on),
            (None, None) => Ok(()),
        }
    }

    /// Shares with other programs from now on, or no longer. What shares already goes on sharing.
    pub(crate) fn share(&mut self, reuse_port: bool) -> io::Result<()> {
        if self.taken || self.listening.reuse_port == reuse_port {
            return Ok(());
        }
        if self.sockets.len() > 1 {
            self.guard = (!reuse_port)
                .then(|| self.listening.guard(true))
                .transpose()?;
        } else {
            self.set_reuse_port(reuse_port)?;
        }
        self.listening.reuse_port = reuse_port;
        Ok(())
    }
}

/// Closes `port` to sockets of other programs, as far as the listeners there want that. `held` are all that hold the port.
///
/// That works as far as one of two addresses without a service can be bound: not for a wildcard where the kernel lacks the
/// other family, or where another program has all of it.
pub(crate) fn settle(port: u16, held: &[&Held]) -> io::Result<()> {
    held.iter().try_for_each(|held| held.relax())?;
    // Of documentation. The order does not matter: the kernel remembers one of them in the end.
    let unserved = [
        SocketAddr::from((Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1), port)),
        SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), port)),
    ];
    for addr in unserved {
        // One is enough, and a machine may lack a family.
        let _ = bind_unserved(addr);
    }
    held.iter().try_for_each(|held| held.tighten())
}

/// Binds an address that this machine does not have, for a moment.
fn bind_unserved(addr: SocketAddr) -> io::Result<()> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
        socket.set_freebind_v6(true)?;
    } else {
        socket.set_freebind_v4(true)?;
    }
    socket.bind(&addr.into())
}
