//! Those for whom there is no backend now.

use std::time::Duration;

use lb_core::{Health, Tried};
use tokio::select;
use tokio::time::{sleep, timeout};

use super::{Lease, Upstream};
use crate::hooks::HashKey;
use crate::queue::{Line, Place, WaitFor};

/// How often those who wait look for what no event tells: the end of an ejection.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

impl Upstream {
    /// Waits for a backend in the queue.
    pub(crate) async fn wait(&self, key: &HashKey, tried: &mut Tried) -> Result<Lease, WaitError> {
        let line = &self.shared().line;
        let settings = line.settings().ok_or(WaitError::Hopeless)?;
        match settings.wait_for {
            WaitFor::Anything => *tried = Tried::new(),
            WaitFor::Room if self.is_full(tried) => {}
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

    /// Whether a backend that was not tried has all the connections that it may have, and nothing else against it.
    fn is_full(&self, tried: &Tried) -> bool {
        let set = self.backends();
        let mut status = set.status(self.now());
        status.any(|status| {
            let max_conns = status.backend.max_conns;
            max_conns.is_some_and(|max| status.in_flight >= max.get())
                && status.backend.takes_connections()
                && status.health == Health::Healthy
                && status.ejected_until.is_none()
                && !tried.contains(status.backend.addr)
        })
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
