//! Pick: a backend for this connection, now or after waiting for one.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use lb_core::{PickError, Tried};
use rustix::net::{RecvFlags, recv};
use tokio::io::Interest;
use tokio::select;
use tokio::time::{Instant, timeout};
use tracing::debug;

use crate::close_reason::CloseReason;
use crate::connection::Connection;
use crate::failures::kind::{Failure, FailureEvent};
use crate::hooks::Hooks;
use crate::metrics::Counters;
use crate::net::stream::Stream;
use crate::state::listener::ListenerState;
use crate::state::route::Route;
use crate::upstream::hash_key::HashKey;
use crate::upstream::{Lease, Upstream, WaitError};

/// How long a client waits for the first membership where no deadline is set.
const FIRST_MEMBERSHIP: Duration = Duration::from_secs(60);

/// The search of one session for a backend that it can connect to.
pub(super) struct Dial<'a> {
    pub(super) client: &'a Stream,
    pub(super) client_addr: SocketAddr,
    /// The observer and what it observes.
    pub(super) hooks: Option<(&'a dyn Hooks, Connection)>,
    /// What the policy hashes.
    pub(super) key: HashKey,
    pub(super) listener: &'a ListenerState,
    pub(super) route: &'a Route,
    /// How many own listeners the client came through before this one.
    pub(super) hops: u8,
    /// The other end of the client's socket.
    pub(super) peer: SocketAddr,
    pub(super) upstream: &'a Upstream,
    pub(super) counters: &'a Counters,
    /// Attempts that failed are counted here.
    pub(super) attempts: &'a mut u32,
    /// Whether a client that ends without a byte is gone.
    pub(super) abandon_silent: bool,
    pub(super) deadline: Option<Instant>,
    pub(super) tried: Tried,
}

impl Dial<'_> {
    /// A lease of a backend that was not tried yet.
    pub(super) async fn pick(&mut self) -> Result<Lease, CloseReason> {
        loop {
            match self.upstream.pick(&self.key, &self.tried) {
                Ok(lease) => return Ok(lease),
                Err(PickError::NotReady) => self.first_membership().await?,
                Err(error) => return self.queue(error).await,
            }
        }
    }

    async fn first_membership(&self) -> Result<(), CloseReason> {
        let limit = self.time_left().unwrap_or(FIRST_MEMBERSHIP);
        let ready = timeout(limit, self.upstream.ready());
        let ready = self.while_client_stays(ready).await?;
        ready.map_err(|_| self.without(&"no backends are known yet", CloseReason::NoBackend))
    }

    /// Waits in the upstream's queue. The time spent there is not the attempts'.
    async fn queue(&mut self, error: PickError) -> Result<Lease, CloseReason> {
        let begin = Instant::now();
        let mut tried = std::mem::take(&mut self.tried);
        let waited = self.upstream.wait(&self.key, &mut tried);
        let waited = self.while_client_stays(waited).await;
        self.tried = tried;
        self.deadline = self.deadline.map(|deadline| deadline + begin.elapsed());
        waited?.map_err(|wait| {
            let reason = match wait {
                WaitError::Full => CloseReason::QueueFull,
                WaitError::Hopeless => CloseReason::NoBackend,
                WaitError::Timeout => CloseReason::QueueTimeout,
            };
            self.without(&error, reason)
        })
    }

    /// What is left for all attempts.
    pub(super) fn time_left(&self) -> Option<Duration> {
        let deadline = self.deadline?;
        Some(deadline.saturating_duration_since(Instant::now()))
    }

    /// Ends the search.
    pub(super) fn without(
        &self,
        error: &dyn std::fmt::Display,
        reason: CloseReason,
    ) -> CloseReason {
        let event = FailureEvent {
            listener: Some(self.listener.addr),
            upstream: Some(self.upstream.shared_name()),
            client: Some(self.client_addr),
            error: Some(error),
            ..FailureEvent::default()
        };
        let failures = &self.listener.trackers().failures;
        failures.record(Failure::Client(reason), &event);
        debug!(
            upstream = self.upstream.name(),
            client.addr = %self.client_addr,
            attempts = *self.attempts,
            %error,
            "No backend for a connection"
        );
        reason
    }

    /// Gives `waiting` up when the client goes away.
    pub(super) async fn while_client_stays<F: Future>(
        &self,
        waiting: F,
    ) -> Result<F::Output, CloseReason> {
        select! {
            biased;
            output = waiting => Ok(output),
            () = gone(self.client, self.abandon_silent) => Err(CloseReason::ClientGone),
        }
    }
}

/// Completes when `client` has reset the connection, or has ended it without a byte if that counts.
async fn gone(client: &Stream, abandon_silent: bool) {
    if abandon_silent {
        match client.ready(END | Interest::ERROR).await {
            Ok(ready) if ready.is_error() || is_at_end(client) => return,
            // It has said something, so that its end may be that of a request.
            _ => {}
        }
    }
    // Error readiness is set only by an error, and errors are final.
    let _ = client.ready(Interest::ERROR).await;
}

/// Ready when the client has ended its side. To wait for bytes as well would be of no use: tokio takes for granted that
/// an accepted socket has some.
#[cfg(target_os = "linux")]
const END: Interest = Interest::PRIORITY;
#[cfg(not(target_os = "linux"))]
const END: Interest = Interest::ERROR;

fn is_at_end(client: &Stream) -> bool {
    let look = RecvFlags::PEEK | RecvFlags::DONTWAIT;
    matches!(recv(client, &mut [0_u8; 1], look), Ok((0, _)))
}
