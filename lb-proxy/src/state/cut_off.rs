//! What a session waits for to be cut off.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use pin_project_lite::pin_project;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::worker::Worker;

/// What a worker tells the sessions of a cohort.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum CutOffEvent {
    /// A local address was lost: the session looks whether it is its own.
    Asked,
    /// The session is cut off.
    CutOff,
}

pin_project! {
    /// Waits for the token of a session's cohort, from the session's begin to its end.
    ///
    /// A session polls it at each wake-up. It registers its waker once: to compare two wakers costs less than to look for one
    /// in the token.
    #[derive(Debug)]
    pub(crate) struct CutOffWait<'a> {
        worker: &'a Worker,
        cohort: usize,
        token: CancellationToken,
        #[pin]
        cancelled: WaitForCancellationFutureOwned,
        // Registered with `cancelled`.
        waker: Option<Waker>,
    }
}

impl<'a> CutOffWait<'a> {
    /// For the session that was accepted last.
    pub(crate) fn new(worker: &'a Worker) -> Self {
        let cohort = worker.last_cohort();
        let token = worker.cohort_token(cohort);
        Self {
            worker,
            cohort,
            cancelled: token.clone().cancelled_owned(),
            token,
            waker: None,
        }
    }

    /// The next event. After [`CutOffEvent::Asked`] it must be polled again.
    pub(crate) fn poll_event(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<CutOffEvent> {
        let mut this = self.project();
        let registered = this.waker.as_ref();
        let is_cancelled = if registered.is_some_and(|waker| waker.will_wake(cx.waker())) {
            this.token.is_cancelled()
        } else {
            *this.waker = Some(cx.waker().clone());
            this.cancelled.as_mut().poll(cx).is_ready()
        };
        if !is_cancelled {
            return Poll::Pending;
        }
        let token = this.worker.cohort_token(*this.cohort);
        if token.is_cancelled() {
            return Poll::Ready(CutOffEvent::CutOff);
        }
        this.cancelled.set(token.clone().cancelled_owned());
        *this.token = token;
        *this.waker = None;
        Poll::Ready(CutOffEvent::Asked)
    }
}
