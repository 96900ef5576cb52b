//! The life of one connection: accept, admit, prelude, pick, connect, relay, close.

mod accept;
mod admit;
mod close;
mod connect;
mod pick;
mod prelude;
mod relay;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::select;
use tokio::time::Instant;

use crate::entrance::{Entrance, Slot};
use crate::hooks::{CloseReason, Connection};
use crate::limits::ClientPermit;
use crate::listener::Route;
use crate::metrics::Counter;
use crate::upstream::{Lease, Upstream};
use crate::worker::Worker;

pub(crate) use accept::{Door, accept};

/// A connection that was accepted, and all that is held for it. Dropping it closes its sockets.
#[derive(Debug)]
struct Session {
    client: TcpStream,
    connection: Connection,
    slot: Slot,
    permits: Vec<ClientPermit>,
    /// The upstream that a prelude chose.
    upstream: Option<Upstream>,
    lease: Option<Lease>,
    record: Record,
}

/// What the summary of a connection tells.
#[derive(Debug)]
struct Record {
    accepted_at: Instant,
    attempts: u32,
    connected_after: Option<Duration>,
    /// Bytes to the backend and to the client, counted apart from the worker's only if somebody wants to know.
    bytes: Option<Box<[Counter; 2]>>,
}

impl Session {
    fn new(client: TcpStream, peer: SocketAddr, entrance: &Arc<Entrance>) -> Self {
        Self {
            client,
            connection: Connection {
                listener: entrance.addr,
                peer,
                client: peer,
            },
            slot: Slot::outside(Arc::clone(entrance)),
            permits: Vec::new(),
            upstream: None,
            lease: None,
            record: Record {
                accepted_at: Instant::now(),
                attempts: 0,
                connected_after: None,
                bytes: None,
            },
        }
    }

    /// Serves the connection to its end.
    async fn serve(mut self, worker: Arc<Worker>) {
        let end = select! {
            biased;
            () = worker.abort.cancelled() => Err(CloseReason::Aborted),
            end = self.run(&worker) => end,
        };
        self.close(end, &worker.counters);
    }

    /// `Err` is an end that came too early, so that the client has to see a reset.
    async fn run(&mut self, worker: &Worker) -> Result<CloseReason, CloseReason> {
        let first = if self.names_client() {
            let first = self.prelude().await?;
            self.admit()?;
            first
        } else {
            self.admit()?;
            self.prelude().await?
        };
        let backend = self.connect(first.is_empty(), &worker.counters).await?;
        first.send(&backend, self, &worker.counters).await?;
        Ok(self.relay(&backend, &worker.counters).await)
    }

    fn route(&self) -> &Route {
        &self.slot.entrance.route
    }

    /// Whether a prelude may tell who the client is.
    fn names_client(&self) -> bool {
        let mut preludes = self.route().preludes.iter();
        preludes.any(|prelude| prelude.names_client())
    }
}
