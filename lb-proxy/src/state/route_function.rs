//! An embedder's own choice of where a session goes.

use std::fmt;
use std::sync::Arc;

use super::route_action::RouteAction;
use crate::connection::Connection;
use crate::embedder_code::named;

/// A function that chooses where a connection goes; see [`Listener::route`](crate::Listener::route).
#[derive(Clone)]
pub(crate) struct RouteFunction(Arc<ChooseFn>);

type ChooseFn = dyn Fn(&Connection) -> RouteAction + Send + Sync;

impl RouteFunction {
    pub(crate) fn new(choose: impl Fn(&Connection) -> RouteAction + Send + Sync + 'static) -> Self {
        Self(Arc::new(choose))
    }

    /// Whether both are one function, not only equal ones.
    pub(crate) fn is_same_as(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    pub(crate) fn choose(&self, connection: &Connection) -> RouteAction {
        named("Listener::route", || (self.0)(connection))
    }
}

impl fmt::Debug for RouteFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RouteFunction").finish_non_exhaustive()
    }
}
