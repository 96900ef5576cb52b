//! The wait at the beginning of a shutdown, while connections are still accepted.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use futures::future::BoxFuture;

/// A function whose future completes when no new connections are sent here any more.
#[derive(Clone)]
pub(crate) struct PreStopHook(Arc<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>);

impl PreStopHook {
    pub(crate) fn new<F: Future<Output = ()> + Send + 'static>(
        hook: impl Fn() -> F + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(move || Box::pin(hook())))
    }

    pub(crate) fn call(&self) -> BoxFuture<'static, ()> {
        (self.0)()
    }
}

impl fmt::Debug for PreStopHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PreStopHook")
    }
}
