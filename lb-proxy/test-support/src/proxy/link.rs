//! Four sockets around a relay: the client's and the server's view of it, on loopback or between network namespaces.

use std::time::Duration;

use lb_proxy::reports::{RelayEnd, RelayReport};
use lb_proxy::settings::Splice;
use lb_proxy::{Relay, Timeouts};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::deadline::within;
use crate::sockets::{Pair, pair_on_loopback};

/// Which end of a link acts first.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Side {
    /// The client.
    Client,
    /// The server.
    Server,
}

/// A running relay between two connections.
#[derive(Debug)]
pub struct Link {
    /// The end that acts first.
    pub near: TcpStream,
    /// The other end.
    pub far: TcpStream,
    /// The side of the near end.
    pub first: Side,
    relay: JoinHandle<RelayReport>,
}

impl Link {
    /// Relays between the accepted socket of `clients` and the connecting one of `servers`.
    pub fn over(clients: Pair, servers: Pair, splice: Splice, first: Side) -> Self {
        let tokio = |stream: std::net::TcpStream| {
            stream.set_nonblocking(true).unwrap();
            stream.set_nodelay(true).unwrap();
            TcpStream::from_std(stream).unwrap()
        };
        let relay = Relay::new()
            .splice(splice)
            .timeouts(Timeouts::default().half_closed(Some(Duration::from_secs(20))));
        let (client, backend) = (tokio(clients.1), tokio(servers.0));
        let relay = tokio::spawn(async move { relay.run(client, backend).await });
        let (client, server) = (tokio(clients.0), tokio(servers.1));
        let (near, far) = match first {
            Side::Client => (client, server),
            Side::Server => (server, client),
        };
        Self {
            near,
            far,
            first,
            relay,
        }
    }

    /// Relays between two connections over loopback.
    pub fn on_loopback(splice: Splice, first: Side) -> Self {
        Self::over(pair_on_loopback(), pair_on_loopback(), splice, first)
    }

    /// Takes the link apart: the near end, the far end, and the end of the relay.
    pub fn split(self) -> (TcpStream, TcpStream, Ended) {
        let ended = Ended {
            first: self.first,
            relay: self.relay,
        };
        (self.near, self.far, ended)
    }
}

/// How the relay of a link ends.
#[derive(Debug)]
pub struct Ended {
    first: Side,
    relay: JoinHandle<RelayReport>,
}

impl Ended {
    /// Asserts that both directions ended with a FIN, after these numbers of bytes from the near and the far end.
    pub async fn assert_finished(self, from_near: usize, from_far: usize) {
        let first = self.first;
        let relayed = self.relayed().await;
        assert_eq!(relayed.end, RelayEnd::Finished);
        let moved = match first {
            Side::Client => (relayed.bytes_to_backend, relayed.bytes_to_client),
            Side::Server => (relayed.bytes_to_client, relayed.bytes_to_backend),
        };
        assert_eq!(moved, (from_near as u64, from_far as u64));
    }

    /// Asserts that the near end reset the session.
    pub async fn assert_reset_by_near(self) {
        let expected = match self.first {
            Side::Client => RelayEnd::ClientReset,
            Side::Server => RelayEnd::BackendReset,
        };
        assert_eq!(self.relayed().await.end, expected);
    }

    /// Asserts that the far end reset the session.
    pub async fn assert_reset_by_far(self) {
        let expected = match self.first {
            Side::Client => RelayEnd::BackendReset,
            Side::Server => RelayEnd::ClientReset,
        };
        assert_eq!(self.relayed().await.end, expected);
    }

    async fn relayed(self) -> RelayReport {
        within("the end of the relay", self.relay).await.unwrap()
    }
}
