//! Settings that take a value, or one that the embedder shares.

use std::sync::Arc;

/// A value of the embedder that sessions share: the value itself, or an [`Arc`] of it where the embedder keeps it, too.
pub trait IntoShared<T: ?Sized>: sealed::Sealed<T> {
    /// The shared value.
    fn into_shared(self) -> Arc<T>;
}

mod sealed {
    #[expect(unnameable_types, reason = "seals the trait")]
    pub trait Sealed<T: ?Sized> {}
}

macro_rules! shared {
    ($($of:path),*) => {$(
        impl<V: $of + 'static> sealed::Sealed<dyn $of> for V {}
        impl<V: $of + 'static> sealed::Sealed<dyn $of> for Arc<V> {}
        impl sealed::Sealed<dyn $of> for Arc<dyn $of> {}

        impl<V: $of + 'static> IntoShared<dyn $of> for V {
            fn into_shared(self) -> Arc<dyn $of> {
                Arc::new(self)
            }
        }

        impl<V: $of + 'static> IntoShared<dyn $of> for Arc<V> {
            fn into_shared(self) -> Arc<dyn $of> {
                self
            }
        }

        impl IntoShared<dyn $of> for Arc<dyn $of> {
            fn into_shared(self) -> Arc<dyn $of> {
                self
            }
        }
    )*};
}

shared!(
    crate::hooks::Hooks,
    crate::net::unix::UnixSocketOpener,
    crate::preread::Preread
);
