//! Waiting for a backend in the upstream's wait queue.

use std::time::Duration;

use lb_core::{PickRequest, Tried};
use tokio::select;
use tokio::time::{sleep, timeout};

use super::hash_key::HashKey;
use super::wait_queue::{Ticket, WaitFor, WaitQueue};
use super::{Lease, Upstream};
use crate::embedder_code::{PICKER, Panicked, catch};

/// How often the queue is served without an event: no event reports the end of an ejection.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

impl Upstream {
    /// Waits for a backend in the wait queue.
    pub(crate) async fn wait(&self, key: &HashKey, tried: &mut Tried) -> Result<Lease, WaitError> {
        let wait_queue = &self.shared().wait_queue;
        let settings = wait_queue.settings().ok_or(WaitError::Hopeless)?;
        match settings.wait_for {
            WaitFor::Anything => {}
            WaitFor::Room if self.may_have_room(key, tried) => {}
            WaitFor::Room => return Err(WaitError::Hopeless),
        }
        let ticket = wait_queue.join(key.clone(), tried.clone());
        let mut queued = Queued {
            upstream: self,
            wait_queue,
            ticket: ticket.ok_or(WaitError::Full)?,
        };
        let answered = async {
            loop {
                self.serve_queue();
                if let Ok(answer) = timeout(LOOK_AGAIN, &mut queued.ticket.answer).await {
                    break answer;
                }
                // Not before: a session would connect to dead backends again and again without a pause.
                if settings.wait_for == WaitFor::Anything && !tried.is_empty() {
                    *tried = Tried::new();
                    wait_queue.forget_tried(&queued.ticket);
                }
            }
        };
        select! {
            biased;
            answer = answered => match answer {
                Ok(Ok(pick)) => Ok(self.lease(pick)),
                Ok(Err(panicked)) => Err(WaitError::Panicked(panicked)),
                // The queue drops no waiter.
                Err(_) => Err(WaitError::Timeout),
            },
            () = sleep(settings.timeout) => Err(WaitError::Timeout),
        }
    }

    /// Whether a backend is eligible but for its `max_conns`, now or at the time of the refusal.
    fn may_have_room(&self, key: &HashKey, tried: &Tried) -> bool {
        let request = PickRequest::new(tried).key(key.as_bytes());
        self.shared().balancer.has_candidate(&request, self.now())
    }

    /// Picks for the waiters.
    pub(super) fn serve_queue(&self) {
        let wait_queue = &self.shared().wait_queue;
        if wait_queue.is_used() {
            wait_queue.serve(|key, tried| catch(PICKER, || self.pick_now(key, tried, self.now())));
        }
    }
}

/// Why a wait ended without a backend.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum WaitError {
    /// The queue has no room.
    Full,
    /// No backend can become free, or the upstream has no queue.
    Hopeless,
    /// The policy panicked.
    Panicked(Panicked),
    /// No backend became free in time.
    Timeout,
}

/// A session in the queue. Dropping it leaves the queue.
struct Queued<'a> {
    upstream: &'a Upstream,
    wait_queue: &'a WaitQueue,
    ticket: Ticket,
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        if let Some(pick) = self.wait_queue.leave(&mut self.ticket) {
            drop(pick);
            self.upstream.serve_queue();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};

    use lb_core::policy::WeightedRoundRobin;
    use lb_core::{Backend, Snapshot};
    use lb_discovery::Manual;

    use super::*;
    use crate::upstream::checks::resources::ProbeResources;
    use crate::upstream::wait_queue::Queue;

    /// The lease that caused a refusal may end before the wait begins.
    #[tokio::test(start_paused = true)]
    async fn a_wait_takes_room_that_became_free_before_it() {
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        let backend = Backend::new(addr).max_conns(1);
        let (source, _handle) = Manual::new(Snapshot::from_backends([backend]));
        let upstream = Upstream::builder("test")
            .discovery(source)
            .policy(WeightedRoundRobin::new())
            .queue(Some(Queue::new(1)))
            .build()
            .expect("a valid upstream");
        let (follower, cancel) = upstream.followed(ProbeResources::default()).await;

        let key = HashKey::none();
        let mut tried = Tried::new();
        let first = upstream
            .pick(&key, &tried, upstream.now())
            .expect("a backend");
        assert!(upstream.pick(&key, &tried, upstream.now()).is_err());
        drop(first);
        let second = upstream.wait(&key, &mut tried).await.expect("a backend");
        assert_eq!(second.addr(), addr);

        tried.insert(addr);
        let hopeless = upstream.wait(&key, &mut tried).await;
        assert_eq!(hopeless.err(), Some(WaitError::Hopeless));
        cancel.cancel();
        follower.await.expect("no panic");
    }
}
