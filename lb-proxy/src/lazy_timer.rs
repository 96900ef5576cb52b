//! A timer for deadlines that move: one for the whole life of a session.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};

/// Longer than any deadline. tokio's timers do not reach farther.
const FAR: Duration = Duration::from_secs(365 * 24 * 3600);

pin_project! {
    /// A timer for deadlines that move. A deadline that moves away does not touch it: it fires at the former one, and is then set
    /// again. So it is set once for each period of silence, and a step of a session that hands it to the next costs nothing.
    #[derive(Debug)]
    pub(crate) struct LazyTimer {
        #[pin]
        sleep: Sleep,
        // What the timer wakes.
        waker: Option<Waker>,
    }
}

impl LazyTimer {
    /// A timer that is not set. `now` is any moment that has passed.
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            sleep: sleep_until(now + FAR),
            waker: None,
        }
    }

    /// Completes once `deadline` has passed.
    pub(crate) fn poll_until(
        self: Pin<&mut Self>,
        deadline: Instant,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        let this = self.project();
        let mut sleep = this.sleep;
        if !is_same(this.waker.as_ref(), cx) {
            *this.waker = Some(cx.waker().clone());
        }
        loop {
            if deadline < sleep.deadline() {
                sleep.as_mut().reset(deadline);
            }
            ready!(sleep.as_mut().poll(cx));
            if Instant::now() >= deadline {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(deadline);
        }
    }

    /// Whether the timer has not fired at `now`, and will wake this task. Then a deadline that only moved away since the last
    /// poll needs no other.
    pub(crate) fn is_set_after(&self, now: Instant, cx: &Context<'_>) -> bool {
        now < self.sleep.deadline() && is_same(self.waker.as_ref(), cx)
    }
}

fn is_same(waker: Option<&Waker>, cx: &Context<'_>) -> bool {
    waker.is_some_and(|waker| waker.will_wake(cx.waker()))
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::pin;

    use futures::FutureExt;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn it_completes_at_the_deadline_of_the_last_poll() {
        let begin = Instant::now();
        let mut timer = pin!(LazyTimer::new(begin));
        let mut until = |seconds: u32| {
            let deadline = begin + SECOND * seconds;
            poll_fn(|cx| timer.as_mut().poll_until(deadline, cx)).now_or_never()
        };
        assert_eq!(until(10), None);
        assert_eq!(until(3), None);
        tokio::time::advance(SECOND * 4).await;
        assert_eq!(until(8), None, "it was to fire at 3 s");
        assert_eq!(until(4), Some(()));
        assert_eq!(until(9), None, "a deadline after one that has passed");
        let deadline = begin + SECOND * 9;
        poll_fn(|cx| timer.as_mut().poll_until(deadline, cx)).await;
        assert_eq!(begin.elapsed(), SECOND * 9);
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_set_until_it_fires_for_the_task_that_polled_it() {
        let begin = Instant::now();
        let mut timer = pin!(LazyTimer::new(begin));
        poll_fn(|cx| {
            assert!(!timer.is_set_after(begin, cx), "no task has polled it");
            assert!(timer.as_mut().poll_until(begin + SECOND, cx).is_pending());
            assert!(timer.is_set_after(begin, cx));
            assert!(!timer.is_set_after(begin + SECOND, cx), "it may have fired");
            let other = Context::from_waker(Waker::noop());
            assert!(!timer.is_set_after(begin, &other));
            Poll::Ready(())
        })
        .await;
    }
}
