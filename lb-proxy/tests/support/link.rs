//! Four sockets around a relay: what a client and a server see of it, on loopback or between network namespaces.

#![allow(dead_code, reason = "every test file uses its own part")]

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use lb_proxy::{Relay, RelayEnd, Relayed, Splice, Timeouts};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::within;

/// Which end of a link acts first.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Side {
    Client,
    Server,
}

/// A relay at work between two sockets.
#[derive(Debug)]
pub(crate) struct Link {
    /// The end that acts first, and the other.
    pub(crate) near: TcpStream,
    pub(crate) far: TcpStream,
    pub(crate) first: Side,
    relay: JoinHandle<Relayed>,
}

/// The sockets of a connection: the one that connected and the one that was accepted.
pub(crate) type Pair = (std::net::TcpStream, std::net::TcpStream);

pub(crate) fn pair_on_loopback() -> Pair {
    let listener = TcpListener::bind(super::loopback()).unwrap();
    let addr: SocketAddr = listener.local_addr().unwrap();
    let near = std::net::TcpStream::connect(addr).unwrap();
    (near, listener.accept().unwrap().0)
}

impl Link {
    /// Relays between the accepted socket of `clients` and the connecting one of `servers`.
    pub(crate) fn over(clients: Pair, servers: Pair, splice: Splice, first: Side) -> Self {
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

    pub(crate) fn on_loopback(splice: Splice, first: Side) -> Self {
        Self::over(pair_on_loopback(), pair_on_loopback(), splice, first)
    }

    /// Takes the link apart: the near end, the far end, and what the relay will have done.
    pub(crate) fn split(self) -> (TcpStream, TcpStream, Ended) {
        let ended = Ended {
            first: self.first,
            relay: self.relay,
        };
        (self.near, self.far, ended)
    }
}

/// How the relay of a link ends.
#[derive(Debug)]
pub(crate) struct Ended {
    first: Side,
    relay: JoinHandle<Relayed>,
}

impl Ended {
    /// Both ends came through, with so many bytes from the near end and from the far one.
    pub(crate) async fn assert_finished(self, from_near: usize, from_far: usize) {
        let first = self.first;
        let relayed = self.relayed().await;
        assert_eq!(relayed.end, RelayEnd::Finished);
        let moved = match first {
            Side::Client => (relayed.bytes_to_backend, relayed.bytes_to_client),
            Side::Server => (relayed.bytes_to_client, relayed.bytes_to_backend),
        };
        assert_eq!(moved, (from_near as u64, from_far as u64));
    }

    pub(crate) async fn assert_reset_by_near(self) {
        let expected = match self.first {
            Side::Client => RelayEnd::ClientReset,
            Side::Server => RelayEnd::BackendReset,
        };
        assert_eq!(self.relayed().await.end, expected);
    }

    pub(crate) async fn assert_reset_by_far(self) {
        let expected = match self.first {
            Side::Client => RelayEnd::BackendReset,
            Side::Server => RelayEnd::ClientReset,
        };
        assert_eq!(self.relayed().await.end, expected);
    }

    async fn relayed(self) -> Relayed {
        within("the end of the relay", self.relay).await.unwrap()
    }
}
