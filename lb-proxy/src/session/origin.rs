//! The origin of a session: the parts of its [`Connection`].

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use crate::connection::Connection;
use crate::net::stream::Stream;
use crate::preread_info::PrereadInfo;
use crate::session_data::SessionData;
use crate::session_id::SessionId;
use crate::state::listener::ListenerState;

/// The addresses of a client's socket, and the embedder's data of the session.
#[derive(Clone, Debug)]
pub(super) struct Ends {
    pub(super) local: SocketAddr,
    pub(super) peer: SocketAddr,
    /// The path that the client's unix socket is bound to.
    pub(super) peer_unix: Option<Arc<Path>>,
    pub(super) data: Option<SessionData>,
}

/// The parts of a session that its [`Connection`] is made of.
#[derive(Clone, Copy)]
pub(super) struct Origin<'a> {
    pub(super) id: SessionId,
    pub(super) client: &'a Stream,
    pub(super) client_addr: SocketAddr,
    pub(super) listener: &'a ListenerState,
    pub(super) ends: &'a OnceLock<Box<Ends>>,
    pub(super) preread: Option<&'a Arc<PrereadInfo>>,
}

/// The [`Origin`] of a session. It borrows fields, so that the others can be borrowed mutably beside it.
macro_rules! origin_of {
    ($session:expr) => {
        $crate::session::origin::Origin {
            id: $session.id,
            client: &$session.client,
            client_addr: $session.client_addr,
            listener: &$session.permit.listener,
            ends: &$session.ends,
            preread: $session.preread.as_ref(),
        }
    };
}
pub(super) use origin_of;

impl Origin<'_> {
    /// The connection. The first one of a listener with session data makes the data.
    pub(super) fn connection(&self) -> Connection {
        if self.listener.route.session_data.is_some() {
            self.store();
        }
        self.connection_of(self.ends())
    }

    /// Stores the ends, and the data if the listener makes some.
    pub(super) fn store(&self) {
        self.ends.get_or_init(|| self.with_data(self.ends()));
    }

    /// `ends` with the data that the listener makes, which may read the data of a listener before.
    pub(super) fn with_data(&self, mut ends: Ends) -> Box<Ends> {
        let factory = self.listener.route.session_data.as_ref();
        ends.data = factory.map(|factory| factory.create(&self.connection_of(ends.clone())));
        Box::new(ends)
    }

    fn connection_of(&self, ends: Ends) -> Connection {
        let Ends {
            local,
            peer,
            peer_unix,
            data,
        } = ends;
        Connection {
            session: Some(self.id),
            label: self.listener.route.label.clone(),
            listener: self.listener.addr,
            local,
            peer,
            client: self.client_addr,
            unix: self.listener.route.unix.clone(),
            peer_unix,
            preread: self.preread.cloned(),
            data,
            is_dry_run: false,
        }
    }

    /// The other end of the client's socket. Until a preread names the client, that is the client.
    pub(super) fn peer(&self) -> SocketAddr {
        let ends = self.ends.get();
        ends.map_or(self.client_addr, |ends| ends.peer)
    }

    /// The ends of the client's socket. Takes a system call if the listener is bound to a wildcard address, or is a unix socket.
    pub(super) fn ends(&self) -> Ends {
        if let Some(known) = self.ends.get() {
            return Ends::clone(known);
        }
        let listener = self.listener.addr;
        let wildcard = listener.ip().is_unspecified();
        let asked = wildcard.then(|| self.client.local_addr());
        Ends {
            local: asked.and_then(Result::ok).unwrap_or(listener),
            peer: self.client_addr,
            peer_unix: self.client.peer_path(),
            data: None,
        }
    }
}
