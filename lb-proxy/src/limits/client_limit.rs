//! A limit of a listener on the sessions of each client.

use std::net::SocketAddr;

use lb_core::Endpoint;

use super::client_zone::{ClientPermit, ClientRefusal, ClientZone};
use crate::connection::Connection;
use crate::sameness::are_same;
use crate::upstream::key_part::KeyParts;

/// A limit of a listener on the sessions of each client that a zone counts.
#[derive(Clone, Debug)]
pub(crate) struct ClientLimit {
    pub(crate) zone: ClientZone,
    /// What makes a client. `None`: its address.
    pub(crate) key: Option<KeyParts>,
    pub(crate) sessions: u32,
}

impl ClientLimit {
    /// Finds what is zero and must not be.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        match self.sessions {
            0 => Err("the number of sessions of each client"),
            _ => self.zone.check(),
        }
    }

    /// Whether both are the same limit in one zone.
    pub(crate) fn is_same_as(&self, other: &Self) -> bool {
        let Self {
            zone,
            key,
            sessions,
        } = self;
        zone.is_same_as(&other.zone)
            && *sessions == other.sessions
            && are_same(key, &other.key, |a, b| a.is_same_as(b))
    }

    /// Counts a session of `client`. `None` if its key is empty: such sessions are not counted.
    pub(crate) fn acquire(
        &self,
        client: SocketAddr,
        connection: impl FnOnce() -> Connection,
    ) -> Result<Option<ClientPermit>, ClientRefusal> {
        let Some(parts) = &self.key else {
            // As in nginx, all clients on unix sockets are one.
            let permit = match Endpoint::is_unix_key(client) {
                true => self.zone.acquire_key(b"unix:", self.sessions),
                false => self.zone.acquire(client.ip(), self.sessions),
            };
            return permit.map(Some);
        };
        let connection = parts.needs_connection().then(connection);
        let key = parts.key(client, connection.as_ref());
        match key.as_bytes() {
            [] => Ok(None),
            key => self.zone.acquire_key(key, self.sessions).map(Some),
        }
    }
}
