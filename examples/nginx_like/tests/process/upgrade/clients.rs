//! Clients that connect while processes replace each other.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use tokio::task::JoinHandle;

use crate::sockets::{ask, ask_unix};

/// Clients that connect again and again, each as soon as it is served, until [`end`](Self::end).
#[derive(Default)]
pub(crate) struct Load {
    counts: Arc<Counts>,
    clients: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Counts {
    over: AtomicBool,
    served: AtomicU64,
}

impl Load {
    /// Adds a client of `addr`.
    pub(crate) fn tcp(mut self, addr: SocketAddr) -> Self {
        let counts = Arc::clone(&self.counts);
        self.clients.push(tokio::spawn(async move {
            while !counts.over.load(Relaxed) {
                ask(addr).await.expect("a client is served");
                counts.served.fetch_add(1, Relaxed);
            }
        }));
        self
    }

    /// Adds a client of the unix domain socket at `path`.
    pub(crate) fn unix(mut self, path: PathBuf) -> Self {
        let counts = Arc::clone(&self.counts);
        self.clients.push(tokio::spawn(async move {
            while !counts.over.load(Relaxed) {
                ask_unix(&path).await.expect("a client is served");
                counts.served.fetch_add(1, Relaxed);
            }
        }));
        self
    }

    /// How many connections were served.
    pub(crate) fn served(&self) -> u64 {
        self.counts.served.load(Relaxed)
    }

    /// Lets the clients end, asserts that each of their connections was served, and returns how many there were.
    pub(crate) async fn end(self) -> u64 {
        self.counts.over.store(true, Relaxed);
        for client in self.clients {
            client.await.expect("no client failed");
        }
        self.counts.served.load(Relaxed)
    }
}
