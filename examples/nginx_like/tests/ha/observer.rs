//! What clients see of a fault.

use std::net::SocketAddr;
use std::time::Instant;

use test_support::namespace::Namespace;

use crate::client::Client;
use crate::figures::Run;
use crate::process::eventually;
use crate::sessions::Sessions;

/// A client that connects all the time, and sessions that stay open.
#[derive(Debug)]
pub(crate) struct Observer {
    client: Client,
    sessions: Sessions,
}

impl Observer {
    /// Begins on `machine` with so many `sessions`, and waits until every connection is answered in time.
    pub(crate) fn start(machine: &Namespace, to: SocketAddr, sessions: usize) -> Self {
        let started = Instant::now();
        let client = Client::start(machine, to);
        eventually("the first answers", || client.is_served_since(started));
        let sessions = Sessions::open(machine, to, sessions);
        Self { client, sessions }
    }

    /// Waits until every connection is answered in time again.
    pub(crate) fn calm(&self) {
        let since = Instant::now();
        eventually("answers", || self.client.is_served_since(since));
    }

    /// Ends, and returns what a fault at `since` cost.
    pub(crate) fn stop(self, since: Instant) -> Run {
        let cut = self.sessions.stop().len();
        let attempts = self.client.stop();
        Run {
            cut,
            ..Run::of(&attempts, since)
        }
    }
}
