//! An embedder's own choice of the upstream.

use std::fmt;
use std::sync::Arc;

use crate::connection::Connection;
use crate::upstream::Upstream;

/// A function that chooses the upstream of a connection; see [`Listener::route`](crate::Listener::route).
#[derive(Clone)]
pub(crate) struct RouteFunction(Arc<ChooseFn>);

type ChooseFn = dyn Fn(&Connection) -> Option<Upstream> + Send + Sync;

impl RouteFunction {
    pub(crate) fn new(
        choose: impl Fn(&Connection) -> Option<Upstream> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(choose))
    }

    pub(crate) fn choose(&self, connection: &Connection) -> Option<Upstream> {
        (self.0)(connection)
    }
}

impl fmt::Debug for RouteFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RouteFunction").finish_non_exhaustive()
    }
}
