//! Those for whom there is no backend now.

use std::time::Duration;

use lb_core::{PickRequest, Tried};
use tokio::select;
use tokio::time::{sleep, timeout};

use super::hash_key::HashKey;
use super::{Lease, Upstream};
use crate::upstream::wait_queue::{Line, Place, WaitFor};

/// How often those who wait look for what no event tells: the end of an ejection.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

impl Upstream {
    /// Waits for a backend in the queue.
    pub(crate) async fn wait(&self, key: &HashKey, tried: &mut Tried) -> Result<Lease, WaitError> {
        let line = &self.shared().line;
        let settings = line.settings().ok_or(WaitError::Hopeless)?;
        match settings.wait_for {
            WaitFor::Anything => *tried = Tried::new(),
            WaitFor::Room if self.may_have_room(key, tried) => {}
            WaitFor::Room => return Err(WaitError::Hopeless),
        }
        let place = line.join(key.clone(), tried.clone());
        let mut queued = Queued {
            upstream: self,
            line,
            place: place.ok_or(WaitError::Full)?,
        };
        let answered = async {
            loop {
                self.serve_queue();
                if let Ok(answer) = timeout(LOOK_AGAIN, &mut queued.place.answer).await {
                    break answer;
                }
            }
        };
        select! {
            biased;
            answer = answered => answer.map(|pick| self.lease(pick)).map_err(|_| WaitError::Timeout),
            () = sleep(settings.timeout) => Err(WaitError::Timeout),
        }
    }

    /// Whether a backend has too many connections for this one, or had when it asked, and nothing else against it.
    fn may_have_room(&self, key: &HashKey, tried: &Tried) -> bool {
        let request = PickRequest::new(tried).with_key(key.as_bytes());
        self.shared().balancer.has_candidate(&request, self.now())
    }

    /// Gives what is free to those who wait.
    pub(super) fn serve_queue(&self) {
        let line = &self.shared().line;
        if line.is_used() {
            line.serve(|key, tried| self.pick_now(key, tried));
        }
    }
}

/// Why waiting brought no backend.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum WaitError {
    /// The queue has no room.
    Full,
    /// There is nothing to wait for, or no queue to wait in.
    Hopeless,
    /// Nothing became free in time.
    Timeout,
}

/// A place in the queue, given up when dropped.
struct Queued<'a> {
    upstream: &'a Upstream,
    line: &'a Line,
    place: Place,
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        if let Some(pick) = self.line.leave(&mut self.place) {
            drop(pick);
            self.upstream.serve_queue();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};
    use std::num::{NonZeroU32, NonZeroUsize};

    use lb_core::policy::WeightedRoundRobin;
    use lb_core::{Backend, Snapshot};
    use lb_discovery::Manual;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::upstream::wait_queue::Queue;

    /// Between a refusal and the wait the connection that was in the way may end.
    #[tokio::test(start_paused = true)]
    async fn room_that_there_is_again_is_taken() {
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        let backend = Backend::new(addr).with_max_conns(NonZeroU32::new(1));
        let (source, _handle) = Manual::new(Snapshot::from_backends([backend]));
        let upstream = Upstream::builder("test")
            .discovery(source)
            .policy(WeightedRoundRobin::new())
            .queue(Some(Queue::new(NonZeroUsize::MIN)))
            .build()
            .expect("a valid upstream");
        let cancel = CancellationToken::new();
        let follower = tokio::spawn(upstream.clone().follow(cancel.clone()));
        upstream.ready().await;

        let key = HashKey::none();
        let mut tried = Tried::new();
        let first = upstream.pick(&key, &tried).expect("a backend");
        assert!(upstream.pick(&key, &tried).is_err());
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
