//! The life of one connection: pick, connect, relay, close.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use lb_core::{FailureEffect, Pick, PickError, Tried};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tracing::{debug, warn};

use crate::connect::{ConnectError, connect};
use crate::hooks::{Connection, HashKey};
use crate::listener::Route;
use crate::metrics::Counters;
use crate::relay::{RelayEnd, Traffic, relay, reset_on_close};

/// How long a client waits for the first membership where no deadline is set.
const FIRST_MEMBERSHIP: Duration = Duration::from_secs(60);

/// A connection that was accepted. Dropping it closes its sockets.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) client: TcpStream,
    pub(crate) peer: SocketAddr,
    pub(crate) route: Arc<Route>,
}

impl Session {
    /// Serves the connection to its end.
    pub(crate) async fn run(&self, counters: &Counters) {
        let mut dial = Dial::new(&self.route, self.hash_key(), counters);
        let (pick, backend) = match dial.run().await {
            Ok(connected) => connected,
            Err(error) => {
                counters.no_backend.increment();
                debug!(
                    upstream = self.route.upstream.name(),
                    client.addr = %self.peer,
                    tried = dial.tried.len(),
                    %error,
                    "No backend for a connection"
                );
                // A clean end would look like an empty answer.
                reset_on_close(&self.client);
                return;
            }
        };
        if self.route.nodelay {
            for side in [&self.client, &backend] {
                // Fails only on a connection that is broken already, which the relay finds out.
                let _ = side.set_nodelay(true);
            }
        }
        let traffic = Traffic {
            to_backend: &counters.bytes_to_backends,
            to_client: &counters.bytes_to_clients,
        };
        let end = relay(&self.client, &backend, &self.route.timeouts, traffic).await;
        let counter = match end {
            RelayEnd::BackendReset => &counters.backend_resets,
            RelayEnd::ClientReset => &counters.client_resets,
            RelayEnd::Finished => &counters.finished,
            RelayEnd::HalfClosedTimeout => &counters.half_closed_timeouts,
            RelayEnd::IdleTimeout => &counters.idle_timeouts,
        };
        counter.increment();
        debug!(
            upstream = self.route.upstream.name(),
            client.addr = %self.peer,
            backend.addr = %pick.backend().addr,
            ?end,
            "Session ended"
        );
    }

    fn hash_key(&self) -> HashKey {
        let (Some(hooks), Ok(local)) = (&self.route.hooks, self.client.local_addr()) else {
            return HashKey::from_ip(self.peer.ip());
        };
        hooks.hash_key(&Connection {
            client: self.peer,
            local,
        })
    }

    /// Makes the client see a reset instead of an end.
    pub(crate) fn abort(&self) {
        reset_on_close(&self.client);
    }
}

/// Why a session got no backend.
#[derive(Debug, thiserror::Error)]
enum DialError {
    #[error("the time for all attempts is over")]
    Deadline,
    #[error(transparent)]
    Pick(#[from] PickError),
    #[error("the allowed number of attempts is used up")]
    Tries,
}

/// The attempts of one session.
struct Dial<'a> {
    route: &'a Route,
    key: HashKey,
    counters: &'a Counters,
    deadline: Option<Instant>,
    tried: Tried,
}

impl<'a> Dial<'a> {
    fn new(route: &'a Route, key: HashKey, counters: &'a Counters) -> Self {
        let deadline = route.retry.deadline;
        Self {
            route,
            key,
            counters,
            deadline: deadline.and_then(|limit| Instant::now().checked_add(limit)),
            tried: Tried::new(),
        }
    }

    async fn run(&mut self) -> Result<(Pick, TcpStream), DialError> {
        loop {
            let left = self.time_left();
            if left == Some(Duration::ZERO) {
                return Err(DialError::Deadline);
            }
            let pick = match self.route.upstream.pick(&self.key, &self.tried) {
                Ok(pick) => pick,
                Err(PickError::NotReady) => {
                    let limit = left.unwrap_or(FIRST_MEMBERSHIP);
                    let ready = timeout(limit, self.route.upstream.ready()).await;
                    ready.map_err(|_| DialError::Deadline)?;
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            let full = self.route.timeouts.connect;
            let limit = left.map_or(full, |left| left.min(full));
            self.counters.connect_attempts.increment();
            match connect(pick.backend().addr, limit).await {
                Ok(stream) => {
                    pick.connected(self.route.upstream.now());
                    return Ok((pick, stream));
                }
                Err(error) => self.note_failure(pick, &error, limit == full),
            }
            let tries = self.route.retry.tries.map_or(usize::MAX, |tries| {
                usize::try_from(tries.get()).unwrap_or(usize::MAX)
            });
            if self.tried.len() >= tries {
                return Err(DialError::Tries);
            }
        }
    }

    fn time_left(&self) -> Option<Duration> {
        let deadline = self.deadline?;
        Some(deadline.saturating_duration_since(Instant::now()))
    }

    /// Counts a failed attempt, against the backend only if it was the backend's: it had its whole time, and
    /// nothing was missing on this machine.
    fn note_failure(&mut self, pick: Pick, error: &ConnectError, had_its_time: bool) {
        let addr = pick.backend().addr;
        self.tried.insert(addr);
        let counter = match error {
            ConnectError::Timeout(_) => &self.counters.connect_timeouts,
            ConnectError::Backend(_) | ConnectError::Local(_) => &self.counters.connect_failures,
        };
        counter.increment();
        let upstream = &self.route.upstream;
        debug!(upstream = upstream.name(), backend.addr = %addr, %error, "Attempt to connect failed");
        let blameless = match error {
            ConnectError::Local(_) => true,
            ConnectError::Timeout(_) => !had_its_time,
            ConnectError::Backend(_) => false,
        };
        if blameless {
            return;
        }
        upstream.refresh();
        if pick.failed(upstream.now()) == FailureEffect::Ejected {
            self.counters.ejections.increment();
            warn!(upstream = upstream.name(), backend.addr = %addr, %error, "Backend ejected");
        }
    }
}
