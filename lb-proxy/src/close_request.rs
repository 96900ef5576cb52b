//! A request that one session end: an operator's close or reset.

use std::future::{Future, poll_fn};
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::task::{Context, Poll};

use futures::task::AtomicWaker;

const CLOSE: u8 = 1;
const RESET: u8 = 2;
const CUT: u8 = 4;

/// What one session is asked to do. Any task may ask, and only the task of the session waits.
///
/// A session that waits costs two atomic operations a poll, and no lock: `tokio::sync::Notify` keeps a list of waiters
/// behind one.
#[derive(Debug, Default)]
pub(crate) struct CloseRequest {
    asked: AtomicU8,
    /// The task of the session.
    task: AtomicWaker,
}

impl CloseRequest {
    /// Asks the session to end. False if it was asked before.
    pub(crate) fn close(&self) -> bool {
        self.ask(CLOSE) & CLOSE == 0
    }

    /// Asks the session to end without delivering what it holds. False if it was asked so before.
    pub(crate) fn reset(&self) -> bool {
        // Both at once, so that a relay that sees the close does not begin to deliver.
        self.ask(CLOSE | RESET) & RESET == 0
    }

    /// Notes that the session is about to end, whatever cut it off.
    pub(crate) fn note_cut(&self) {
        self.asked.fetch_or(CUT, Relaxed);
    }

    /// Whether the session is about to end: it was asked to, or was cut off.
    pub(crate) fn is_ending(&self) -> bool {
        self.asked.load(Relaxed) != 0
    }

    /// Ready when the session is asked to end.
    pub(crate) fn poll_close(&self, cx: &Context<'_>) -> Poll<()> {
        self.poll_requested(CLOSE, cx)
    }

    /// Completes when the session is asked to end.
    pub(crate) fn close_requested(&self) -> impl Future<Output = ()> {
        self.requested(CLOSE)
    }

    /// Completes when the session is asked to end without delivering what it holds.
    pub(crate) fn reset_requested(&self) -> impl Future<Output = ()> {
        self.requested(RESET)
    }

    fn ask(&self, what: u8) -> u8 {
        let before = self.asked.fetch_or(what, Relaxed);
        self.task.wake();
        before
    }

    fn requested(&self, what: u8) -> impl Future<Output = ()> {
        poll_fn(move |cx| self.poll_requested(what, cx))
    }

    fn poll_requested(&self, what: u8, cx: &Context<'_>) -> Poll<()> {
        let is_asked = || self.asked.load(Relaxed) & what != 0;
        if is_asked() {
            return Poll::Ready(());
        }
        self.task.register(cx.waker());
        // A request before the registration has woken no task.
        match is_asked() {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::thread;

    use tokio::runtime::Builder;

    use super::*;

    #[test]
    fn each_request_counts_once_and_a_reset_is_a_close_as_well() {
        let request = CloseRequest::default();
        assert!(!request.is_ending());
        assert!(request.close() && !request.close());
        assert!(request.is_ending());
        assert!(request.reset() && !request.reset() && !request.close());
        let cut = CloseRequest::default();
        cut.note_cut();
        assert!(cut.is_ending() && cut.close());
    }

    #[tokio::test]
    async fn what_was_asked_before_is_not_missed() {
        let request = CloseRequest::default();
        request.reset();
        request.close_requested().await;
        request.reset_requested().await;
        // The session waits more than once.
        request.close_requested().await;
    }

    #[test]
    fn a_request_at_any_moment_wakes_the_session() {
        for _ in 0..500 {
            let request = Arc::new(CloseRequest::default());
            let asking = Arc::clone(&request);
            let asks = thread::spawn(move || asking.close());
            let runtime = Builder::new_current_thread().build().unwrap();
            runtime.block_on(request.close_requested());
            assert!(asks.join().unwrap());
        }
    }
}
