//! Code of the embedder: hooks, functions, prereads, policies. It may panic; here a panic is caught and named.
//!
//! [`named`] surrounds each call, and costs nothing while nothing panics. [`catch`] and [`catch_future`] are the boundaries:
//! around a session, a task, a publication, a request. What they surround is dropped, or changed as a whole, so that nothing
//! is left in between.

use std::any::Any;
use std::cell::Cell;
use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::thread::panicking;

use futures::FutureExt;
use lb_core::Escaped;
use pin_project_lite::pin_project;

/// The names of the methods of a policy's picker in messages.
pub(crate) const PICKER: &str = "Picker::pick";
pub(crate) const PICKER_DIGEST: &str = "Picker::digest";

thread_local! {
    /// The innermost code that the panic under way unwinds from.
    static UNWOUND: Cell<Option<&'static str>> = const { Cell::new(None) };
}

/// Code of the embedder that panicked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Panicked {
    /// What it is, such as `Hooks::accept`.
    pub(crate) code: &'static str,
    text: Box<str>,
}

/// Runs `code`, which is `name` in messages if it panics.
#[inline]
pub(crate) fn named<T>(name: &'static str, code: impl FnOnce() -> T) -> T {
    let unwound = Unwound(name);
    let result = code();
    // Only a panic drops it.
    std::mem::forget(unwound);
    result
}

/// The same for a future.
pub(crate) async fn poll_named<F: Future + Unpin>(name: &'static str, mut future: F) -> F::Output {
    poll_fn(|cx| named(name, || future.poll_unpin(cx))).await
}

struct Unwound(&'static str);

impl Drop for Unwound {
    fn drop(&mut self) {
        if UNWOUND.get().is_none() {
            UNWOUND.set(Some(self.0));
        }
    }
}

/// Runs `code`, and returns its panic. `name` is what panicked if no code inside of it has a name.
pub(crate) fn catch<T>(name: &'static str, code: impl FnOnce() -> T) -> Result<T, Panicked> {
    // A panic that the embedder has caught may have left a name. One that unwinds now, and runs this in a drop, needs its own.
    let before = UNWOUND.replace(None);
    let result = catch_unwind(AssertUnwindSafe(code));
    let result = result.map_err(|payload| Panicked::new(name, payload));
    if before.is_some() && panicking() {
        UNWOUND.set(before);
    }
    result
}

/// The output of `future`, or its panic, of any poll. `name` is a function, so that the future of a session does not hold a text.
pub(crate) const fn catch_future<N, F>(name: N, future: F) -> CatchFuture<N, F>
where
    N: Fn() -> &'static str,
    F: Future,
{
    CatchFuture { name, future }
}

pin_project! {
    /// The future of [`catch_future`].
    pub(crate) struct CatchFuture<N, F> {
        name: N,
        #[pin]
        future: F,
    }
}

impl<N: Fn() -> &'static str, F: Future> Future for CatchFuture<N, F> {
    type Output = Result<F::Output, Panicked>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        match catch((this.name)(), || this.future.poll(cx)) {
            Ok(poll) => poll.map(Ok),
            Err(panicked) => Poll::Ready(Err(panicked)),
        }
    }
}

impl Panicked {
    /// Whether a policy's picker panicked.
    pub(crate) fn is_of_picker(&self) -> bool {
        [PICKER, PICKER_DIGEST].contains(&self.code)
    }

    /// The message of the panic, escaped.
    pub(crate) fn message(&self) -> String {
        Escaped(&self.text).to_string()
    }

    fn new(name: &'static str, payload: Box<dyn Any + Send>) -> Self {
        let text = payload.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| payload.downcast_ref::<&str>().copied());
        let panicked = Self {
            code: UNWOUND.take().unwrap_or(name),
            text: text.unwrap_or("no text").into(),
        };
        if text.is_none() {
            // The drop of a value of the embedder may panic again.
            std::mem::forget(payload);
        }
        panicked
    }
}

impl fmt::Display for Panicked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} panicked: {}", self.code, Escaped(&self.text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_has_the_name_of_the_innermost_code_and_the_next_one_its_own() {
        let nested = catch("task", || {
            named("outer", || named("inner", || panic!("a {}\n", "text")))
        });
        let nested: Result<(), _> = nested;
        let nested = nested.unwrap_err();
        assert_eq!(nested.to_string(), r"inner panicked: a text\n");
        let plain = catch("task", || std::panic::panic_any(7_u8));
        assert_eq!(plain.unwrap_err().to_string(), "task panicked: no text");
        assert_eq!(catch("task", || named("fine", || 7)), Ok(7));
    }

    #[test]
    fn a_panic_that_the_embedder_caught_leaves_no_name() {
        let lost = catch_unwind(|| named("lost", || panic!("caught elsewhere")));
        let _: Box<dyn Any + Send> = lost.unwrap_err();
        let plain: Result<(), _> = catch("task", || panic!("another"));
        assert_eq!(plain.unwrap_err().code, "task");
    }

    #[test]
    fn a_drop_that_catches_leaves_the_name_of_the_panic_that_runs_it() {
        struct Catches;
        impl Drop for Catches {
            fn drop(&mut self) {
                let _: Result<(), _> = catch("drop", || panic!("in a drop"));
            }
        }
        let outer: Result<(), _> = catch("task", || {
            let _catches = Catches;
            named("inner", || panic!("first"))
        });
        assert_eq!(outer.unwrap_err().code, "inner");
    }

    #[tokio::test]
    async fn a_future_is_caught_at_any_poll() {
        let future = async {
            tokio::task::yield_now().await;
            named("late", || panic!("late"))
        };
        let caught: Result<(), _> = catch_future(|| "future", future).await;
        assert_eq!(caught.unwrap_err().code, "late");
    }
}
