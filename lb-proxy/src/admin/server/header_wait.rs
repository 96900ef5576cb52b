//! Since when a connection has been waiting for the header of a request.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;

/// Since when a connection has been waiting for the header of a request, the next one on it included.
#[derive(Debug)]
pub(super) struct HeaderWait {
    /// `None` while a request is answered.
    since: Mutex<Option<Instant>>,
    ended: Arc<Notify>,
}

impl HeaderWait {
    /// Waits from now on. Notifies `ended` at the end of each request.
    pub(super) fn new(ended: Arc<Notify>) -> Self {
        Self {
            since: Mutex::new(Some(Instant::now())),
            ended,
        }
    }

    /// `None` while a request is answered.
    pub(super) fn since(&self) -> Option<Instant> {
        // No code that can panic runs under the lock.
        *self.since.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does not wait until the result is dropped.
    pub(super) fn interrupt(&self) -> AnsweredRequest<'_> {
        self.set(None);
        AnsweredRequest(self)
    }

    fn set(&self, since: Option<Instant>) {
        *self.since.lock().unwrap_or_else(PoisonError::into_inner) = since;
    }
}

/// A request that is answered.
#[derive(Debug)]
pub(super) struct AnsweredRequest<'a>(&'a HeaderWait);

impl Drop for AnsweredRequest<'_> {
    fn drop(&mut self) {
        self.0.set(Some(Instant::now()));
        self.0.ended.notify_one();
    }
}
