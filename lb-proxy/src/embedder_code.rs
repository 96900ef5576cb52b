//! Code of the embedder: hooks, functions, prereads, policies. It may panic; here a panic is caught and named.
//!
//! [`named`] surrounds each call, and costs nothing while nothing panics. [`catch`] and [`catch_future`] are the boundaries:
//! around a session, a task, a publication. What they surround is dropped, or changed as a whole, so that nothing is left
//! in between.

use std::any::Any;
use std::cell::Cell;
use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};

use futures::FutureExt;
use lb_core::Escaped;

/// The name of a policy's picker in messages.
pub(crate) const PICKER: &str = "Picker::pick";

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
    let result = catch_unwind(AssertUnwindSafe(code));
    result.map_err(|payload| Panicked::new(name, payload))
}

/// The output of `future`, or its panic.
pub(crate) fn catch_future<F: Future>(
    name: &'static str,
    future: F,
) -> impl Future<Output = Result<F::Output, Panicked>> {
    let caught = AssertUnwindSafe(future).catch_unwind();
    caught.map(move |result| result.map_err(|payload| Panicked::new(name, payload)))
}

impl Panicked {
    pub(crate) fn new(name: &'static str, payload: Box<dyn Any + Send>) -> Self {
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

    #[tokio::test]
    async fn a_future_is_caught_at_any_poll() {
        let future = async {
            tokio::task::yield_now().await;
            named("late", || panic!("late"))
        };
        let caught: Result<(), _> = catch_future("future", future).await;
        assert_eq!(caught.unwrap_err().code, "late");
    }
}
