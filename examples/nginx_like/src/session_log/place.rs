//! The part of a line that names its session: number, client, server and bytes.

use std::fmt;

use lb_core::Endpoint;
use lb_proxy::events::{Connection, Summary};
use lb_proxy::reports::SessionId;

/// The connection, as the end of a line names it.
pub(super) struct Place<'a>(pub(super) &'a Connection);

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let server = server_of(self.0);
        match self.0.client_endpoint() {
            Endpoint::Tcp(client) => write!(f, ", client: {}, server: {server}", client.ip()),
            Endpoint::Unix(_) => write!(f, ", client: unix:, server: {server}"),
        }
    }
}

/// The bytes of both sides, as the end of a line counts them.
#[derive(Clone, Copy, Default)]
pub(super) struct Bytes {
    pub(super) from_client: u64,
    pub(super) to_client: u64,
    pub(super) from_backend: u64,
    pub(super) to_backend: u64,
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            from_client,
            to_client,
            from_backend,
            to_backend,
        } = self;
        write!(
            f,
            ", bytes from/to client:{from_client}/{to_client}, bytes from/to upstream:{from_backend}/{to_backend}"
        )
    }
}

/// What the listener is bound to.
pub(super) fn server_of(connection: &Connection) -> Endpoint {
    if Endpoint::is_unix_key(connection.listener) {
        connection.local_endpoint()
    } else {
        connection.listener.into()
    }
}

/// The number of the session, 0 if no client has made the connection.
pub(super) fn number(connection: &Connection) -> u64 {
    connection.session_id().map_or(0, SessionId::get)
}

pub(super) fn bytes_of(summary: &Summary<'_>) -> Bytes {
    let last = summary.attempts.last();
    Bytes {
        from_client: summary.bytes_from_client,
        to_client: summary.bytes_to_client,
        from_backend: last.map_or(0, |attempt| attempt.bytes_received),
        to_backend: last.map_or(0, |attempt| attempt.bytes_sent),
    }
}
