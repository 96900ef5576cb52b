//! The embedder's own data of a session.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use crate::connection::Connection;
use crate::embedder_code::named;

/// A value of the embedder, shared by all copies of a [`Connection`]. Two are equal if they are clones of one.
#[derive(Clone)]
pub(crate) struct SessionData(Arc<dyn Any + Send + Sync>);

impl SessionData {
    pub(crate) fn new<T: Send + Sync + 'static>(data: T) -> Self {
        Self(Arc::new(data))
    }

    pub(crate) fn get<T: 'static>(&self) -> Option<&T> {
        self.0.downcast_ref()
    }
}

impl Eq for SessionData {}

impl PartialEq for SessionData {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for SessionData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionData").finish_non_exhaustive()
    }
}

/// A function that creates the data of each session; see [`Listener::session_data`](crate::Listener::session_data).
#[derive(Clone)]
pub(crate) struct SessionDataFactory(Arc<CreateFn>);

type CreateFn = dyn Fn(&Connection) -> SessionData + Send + Sync;

impl SessionDataFactory {
    pub(crate) fn new<T: Send + Sync + 'static>(
        create: impl Fn(&Connection) -> T + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(move |connection| {
            SessionData::new(create(connection))
        }))
    }

    /// Whether both are one function, not only equal ones.
    pub(crate) fn is_same_as(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    pub(crate) fn create(&self, connection: &Connection) -> SessionData {
        named("Listener::session_data", || (self.0)(connection))
    }
}

impl fmt::Debug for SessionDataFactory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionDataFactory").finish_non_exhaustive()
    }
}
