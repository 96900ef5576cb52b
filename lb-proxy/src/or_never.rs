//! A future that may be absent.

use std::future::{Future, Pending, pending};

use futures::future::Either;

/// The `future` if there is one, else one that never completes. Takes no more memory than the future and a tag.
pub(crate) fn or_never<F: Future>(future: Option<F>) -> Either<F, Pending<F::Output>> {
    future.map_or_else(|| Either::Right(pending()), Either::Left)
}
