//! What few backends have: a unix socket, and data of the embedder.

use std::any::Any;
use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

/// Behind one pointer, so that other backends pay nothing for it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Extras(Option<Arc<Parts>>);

#[derive(Clone, Debug, Default)]
struct Parts {
    unix: Option<UnixSocket>,
    data: Option<BackendData>,
}

/// The path of a unix socket, and the key that [`Backend::addr`](crate::Backend::addr) has while the backend is reached there.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct UnixSocket {
    pub(crate) path: Arc<Path>,
    pub(crate) key: SocketAddr,
}

/// A value of the embedder.
#[derive(Clone)]
struct BackendData {
    value: Arc<dyn Any + Send + Sync>,
    /// Compares two values, if they are part of the equality of backends.
    equals: Option<EqualsFn>,
}

type EqualsFn = fn(&dyn Any, &dyn Any) -> bool;

impl Extras {
    pub(crate) const fn is_none(&self) -> bool {
        self.0.is_none()
    }

    pub(crate) fn of_unix(socket: UnixSocket) -> Self {
        let unix = Some(socket);
        Self(Some(Arc::new(Parts { unix, data: None })))
    }

    pub(crate) fn unix(&self) -> Option<&UnixSocket> {
        self.0.as_ref()?.unix.as_ref()
    }

    pub(crate) fn data<T: 'static>(&self) -> Option<&T> {
        self.0.as_ref()?.data.as_ref()?.value.downcast_ref()
    }

    pub(crate) fn set_data<T: Send + Sync + 'static>(&mut self, value: T) {
        self.set(value, None);
    }

    pub(crate) fn set_compared_data<T: PartialEq + Send + Sync + 'static>(&mut self, value: T) {
        fn equals<T: PartialEq + 'static>(one: &dyn Any, other: &dyn Any) -> bool {
            let (one, other) = (one.downcast_ref::<T>(), other.downcast_ref::<T>());
            one.zip(other).is_some_and(|(one, other)| one == other)
        }
        self.set(value, Some(equals::<T>));
    }

    fn set<T: Send + Sync + 'static>(&mut self, value: T, equals: Option<EqualsFn>) {
        let value = Arc::new(value);
        let parts = Arc::make_mut(self.0.get_or_insert_default());
        parts.data = Some(BackendData { value, equals });
    }

    /// Out of line: without it, comparing two backends is small enough to be inlined into the comparison of snapshots.
    #[cold]
    #[inline(never)]
    fn equals(&self, other: &Self) -> bool {
        let compared = |extras: &Self| {
            let data = extras.0.as_ref().and_then(|parts| parts.data.clone());
            data.filter(|data| data.equals.is_some())
        };
        self.unix() == other.unix()
            && match (compared(self), compared(other)) {
                (None, None) => true,
                (Some(one), Some(other)) => one.is_equal_to(&other),
                _ => false,
            }
    }
}

impl Eq for Extras {}

impl PartialEq for Extras {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        (self.0.is_none() && other.0.is_none()) || self.equals(other)
    }
}

impl BackendData {
    fn is_equal_to(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.value, &other.value)
            || self
                .equals
                .is_some_and(|equals| equals(&*self.value, &*other.value))
    }
}

impl fmt::Debug for BackendData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BackendData").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use crate::{Backend, Delta, Snapshot};

    fn backend() -> Backend {
        Backend::new((Ipv4Addr::LOCALHOST, 446).into())
    }

    #[test]
    fn data_has_a_type_and_survives_clones() {
        let rack = backend().with_data("rack 7");
        let other = rack.clone().with_data(8_u32);
        assert_eq!(rack.data::<&str>(), Some(&"rack 7"));
        assert_eq!(rack.data::<u32>(), None);
        assert_eq!(backend().data::<&str>(), None);
        assert_eq!(other.data::<u32>(), Some(&8));
        let unix = Backend::unix(std::path::Path::new("/run/a.sock")).with_data(1_u8);
        assert_eq!(unix.endpoint().to_string(), "unix:/run/a.sock");
        assert_eq!(unix.data::<u8>(), Some(&1));
    }

    #[test]
    fn data_is_compared_only_if_that_was_asked_for() {
        assert_eq!(backend().with_data(1), backend().with_data(2));
        assert_eq!(backend().with_data(1), backend());
        let compared = |n: u32| backend().with_compared_data(n);
        assert_eq!(compared(1), compared(1));
        assert_ne!(compared(1), compared(2));
        assert_ne!(compared(1), backend());
        assert_ne!(compared(1), backend().with_data(1_u32));
        assert_ne!(compared(1), backend().with_compared_data(1_u8));
        assert_ne!(compared(1), compared(1).weight(2.into()));
    }

    #[test]
    fn an_update_sees_compared_data_alone() {
        let delta = |before: Backend, after: Backend| {
            let snapshots = [before, after].map(|backend| Snapshot::from_backends([backend]));
            Delta::between(&snapshots[0], &snapshots[1]).changed.len()
        };
        assert_eq!(delta(backend(), backend().with_data(1)), 0);
        let compared = |n: u32| backend().with_compared_data(n);
        assert_eq!(delta(compared(1), compared(1)), 0);
        assert_eq!(delta(compared(1), compared(2)), 1);
    }
}
