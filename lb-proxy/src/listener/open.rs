//! From a description to sockets.

use std::io;
use std::sync::Arc;

use socket2::SockRef;

use super::socket::{clones, hand_down};
use super::{Held, Listener, Listening};
use crate::server::worker_pool::Worker;

impl Listener {
    /// How it listens.
    pub(crate) const fn listening(&self) -> &Listening {
        &self.listening
    }

    /// Whether a listener that stays needs other sockets for this description than those that it has.
    pub(crate) fn needs_other_sockets(&self, held: &Held) -> bool {
        let wildcard = self.listening.addr.ip().is_unspecified() && self.listening.addr.is_ipv6();
        let changed = self.listening.ipv6_only != held.listening.ipv6_only;
        changed && wildcard && !held.taken && self.bound.is_none()
    }

    /// Gives sockets that listen already what can be changed of them.
    pub(crate) fn apply(&self, held: &mut Held) -> io::Result<()> {
        for socket in &held.sockets {
            let socket = SockRef::from(&**socket);
            if !held.taken {
                self.listening.listen(&socket)?;
            }
            self.route.client_options.apply(&socket)?;
        }
        held.share(self.listening.reuse_port)
    }

    /// Opens a socket for each of `workers`, on `port` if the address leaves the choice, [beside](Listening::open) other
    /// sockets of this proxy or not.
    pub(crate) fn open(
        &self,
        workers: &[Arc<Worker>],
        port: u16,
        beside: bool,
    ) -> io::Result<Held> {
        let mut listening = self.listening;
        if listening.addr.port() == 0 {
            listening.addr.set_port(port);
        }
        let (sockets, guard) = match &self.bound {
            Some(socket) => (clones(socket, workers.len())?, None),
            None => {
                let open = listening.open(workers.len(), beside)?;
                (open.sockets, open.guard)
            }
        };
        hand_down(&sockets, &self.route.client_options)?;
        listening.addr = sockets[0].local_addr()?;
        if self.bound.is_some() {
            let socket = SockRef::from(&sockets[0]);
            listening.reuse_port = socket.reuse_port()?;
            listening.ipv6_only = listening.addr.is_ipv6() && socket.only_v6()?;
        }
        let sockets = sockets.into_iter().zip(workers);
        let sockets = sockets.map(|(socket, worker)| worker.open(socket));
        Ok(Held {
            listening,
            sockets: sockets.collect::<Result<_, _>>()?,
            guard,
            taken: self.bound.is_some(),
        })
    }
}
