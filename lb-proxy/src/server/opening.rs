//! A listener that is described and about to be opened.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::warn;

use crate::error::BindError;
use crate::listener::{Held, Listener, Listening};
use crate::server::worker_pool::Worker;

/// How long to wait before an address that is in use is tried again.
pub(crate) const PAUSE: Duration = Duration::from_millis(100);

/// A listener that is described, and its sockets once they are open. Dropping it closes them.
#[derive(Debug)]
pub(crate) struct Opening {
    pub(crate) listener: Listener,
    /// The number of the listener at work that it means.
    pub(crate) post: Option<usize>,
    /// The sockets of that listener stay.
    pub(crate) keeps: bool,
    pub(crate) held: Option<Held>,
    /// The sockets were opened beside some that are in the way.
    beside: bool,
}

impl Opening {
    pub(crate) const fn new(listener: Listener) -> Self {
        Self {
            listener,
            post: None,
            keeps: false,
            held: None,
            beside: false,
        }
    }

    /// How it would listen, on `port` if the description leaves the choice.
    pub(crate) const fn listening(&self, port: u16) -> Listening {
        let mut listening = *self.listener.listening();
        if listening.addr.port() == 0 {
            listening.addr.set_port(port);
        }
        listening
    }

    /// Opens a socket for each of `workers`, unless that is done. `in_the_way` is a listener of this proxy whose sockets
    /// have been relaxed.
    pub(crate) fn open(
        &mut self,
        workers: &[Arc<Worker>],
        port: u16,
        in_the_way: Option<SocketAddr>,
    ) -> Result<(), BindError> {
        if self.held.is_some() {
            return Ok(());
        }
        let Listening { addr, .. } = self.listening(port);
        let opened = self.listener.open(workers, port, in_the_way.is_some());
        let held = opened.map_err(|source| match in_the_way {
            Some(other) if is_in_use(&source) => BindError::InTheWay {
                addr,
                other,
                source,
            },
            _ => BindError::Listen { addr, source },
        })?;
        self.held = Some(held);
        self.beside = in_the_way.is_some();
        Ok(())
    }

    /// The port that other programs of the same user may join until [`settle`](crate::listener::share::settle) is called,
    /// if there is one. `kept` is the listener whose sockets stay.
    pub(crate) fn unsettled(&self, kept: Option<&Held>) -> Option<u16> {
        let shares = self.listener.listening().reuse_port;
        let unsettled = match (kept, &self.held) {
            (Some(kept), _) => kept.listening.reuse_port != shares,
            (None, Some(held)) => held.is_guarded(),
            (None, None) => false,
        };
        let held = kept.or(self.held.as_ref()).filter(|_| unsettled)?;
        Some(held.listening.addr.port())
    }

    /// Closes the sockets if they were opened beside others.
    pub(crate) fn close_if_beside(&mut self) {
        if self.beside {
            self.held = None;
        }
    }
}

fn is_in_use(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrInUse
}

/// How long addresses that are in use are tried again.
#[derive(Debug)]
pub(crate) struct Patience {
    begin: Instant,
    timeout: Duration,
    warned: bool,
}

impl Patience {
    pub(crate) fn new(timeout: Duration) -> Self {
        Self {
            begin: Instant::now(),
            timeout,
            warned: false,
        }
    }

    /// Whether the attempt to open `openings` that ended with `error` is worth another one after a [`PAUSE`].
    pub(crate) fn allows(&mut self, error: &BindError, openings: &[Opening]) -> bool {
        let (BindError::Listen { addr, source } | BindError::InTheWay { addr, source, .. }) = error
        else {
            return false;
        };
        let mut listening = openings.iter().map(|opening| opening.listener.listening());
        // A process that ends would share the address. The one that holds it does not, so it is probably another one.
        let shares = listening.any(|listening| listening.addr == *addr && listening.reuse_port);
        let timeout = if shares {
            self.timeout / 5
        } else {
            self.timeout
        };
        let allows = is_in_use(source) && self.begin.elapsed() < timeout;
        if allows && !self.warned {
            self.warned = true;
            warn!(listener = %addr, "Address in use, trying again");
        }
        allows
    }
}
