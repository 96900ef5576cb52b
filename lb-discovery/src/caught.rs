//! Panics in the code of a source, as errors.
//!
//! After a panic only the source itself is used again: what the driver knows of it is changed as a whole, and none of the
//! source's code runs meanwhile.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use futures::FutureExt;
use tracing::error;

use crate::error::DiscoveryError;

/// Runs code of the source `label`. Logs a panic, and then returns `None`.
pub(crate) fn caught<T>(label: &Arc<str>, code: impl FnOnce() -> T) -> Option<T> {
    let result = catch_unwind(AssertUnwindSafe(code));
    let result = result.map_err(|payload| panicked(label, payload));
    result
        .inspect_err(|error| error!(source = %label, %error, "Source panicked"))
        .ok()
}

/// The output of a future that runs code of the source `label`, or its panic as an error.
pub(crate) async fn caught_future<F: Future>(
    label: &Arc<str>,
    future: F,
) -> Result<F::Output, DiscoveryError> {
    let result = AssertUnwindSafe(future).catch_unwind().await;
    result.map_err(|payload| panicked(label, payload))
}

fn panicked(label: &Arc<str>, payload: Box<dyn Any + Send>) -> DiscoveryError {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| payload.downcast_ref::<&str>().copied());
    let problem = text.unwrap_or("no text").into();
    if text.is_none() {
        // The drop of a value of the source may panic again.
        std::mem::forget(payload);
    }
    DiscoveryError::Panicked {
        what: format!("watching {label}").into(),
        problem,
    }
}
