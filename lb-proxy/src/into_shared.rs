//! Settings that take a value, or one that the embedder shares.

use std::sync::Arc;

/// A value of the embedder that sessions share: the value itself, or an [`Arc`] of it where the embedder keeps it, too.
pub trait IntoShared<T: ?Sized>: sealed::Sealed<T> {
    /// The shared value.
    fn into_shared(self) -> Arc<T>;
}

pub(crate) mod sealed {
    #[expect(unnameable_types, reason = "seals the trait")]
    pub trait Sealed<T: ?Sized> {}
}

/// Lets settings take values of a trait, by the path of the trait from the root of the crate.
macro_rules! shared {
    ($($of:path),*) => {$(
        impl<V: $of + 'static> $crate::into_shared::sealed::Sealed<dyn $of> for V {}
        impl<V: $of + 'static> $crate::into_shared::sealed::Sealed<dyn $of> for std::sync::Arc<V> {}
        impl $crate::into_shared::sealed::Sealed<dyn $of> for std::sync::Arc<dyn $of> {}

        impl<V: $of + 'static> $crate::into_shared::IntoShared<dyn $of> for V {
            fn into_shared(self) -> std::sync::Arc<dyn $of> {
                std::sync::Arc::new(self)
            }
        }

        impl<V: $of + 'static> $crate::into_shared::IntoShared<dyn $of> for std::sync::Arc<V> {
            fn into_shared(self) -> std::sync::Arc<dyn $of> {
                self
            }
        }

        impl $crate::into_shared::IntoShared<dyn $of> for std::sync::Arc<dyn $of> {
            fn into_shared(self) -> std::sync::Arc<dyn $of> {
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

// For traits of layers above this one.
#[cfg(feature = "admin")]
pub(crate) use shared;
