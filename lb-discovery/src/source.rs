//! The trait of a source of backends.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::BoxStream;
use lb_core::Snapshot;

use crate::error::DiscoveryError;

/// The items of a watch: the full current set first, then the full set again whenever it may have changed.
///
/// An `Err` that is an answer ([`is_authoritative_empty`](DiscoveryError::is_authoritative_empty)) says that the set is
/// empty, and why; the stream may continue with the next set, or end. After any other `Err`, and after the end, the
/// driver opens a new watch.
pub type SnapshotStream = BoxStream<'static, Result<Snapshot, DiscoveryError>>;

/// A source of backends.
///
/// A source reports its current set and nothing else. It does not retry, does not keep a last good set and does not log
/// its failures: the [`Driver`](crate::Driver) does, in the same way for all sources. If answers have no stable
/// order, the source sorts them, so that equal answers make equal snapshots.
///
/// If a method panics, the driver counts a failure of the source, and goes on as after any other.
///
/// A source that must be polled implements [`Lookup`](crate::Lookup); [`Polled`](crate::Polled) makes a `Source` of it. One
/// that is told of changes implements this trait:
///
/// ```
/// use std::sync::Arc;
///
/// use futures::StreamExt;
/// use lb_core::Snapshot;
/// use lb_discovery::{DiscoveryError, SnapshotStream, Source};
/// use tokio::sync::watch;
///
/// /// The backends in a channel of the program.
/// #[derive(Debug)]
/// struct Channel(watch::Receiver<Snapshot>);
///
/// #[async_trait::async_trait]
/// impl Source for Channel {
///     fn label(&self) -> Arc<str> {
///         "channel".into()
///     }
///
///     async fn watch(&self) -> Result<SnapshotStream, DiscoveryError> {
///         let mut changes = self.0.clone();
///         changes.mark_changed(); // the present set comes first
///         let sets = futures::stream::unfold(changes, |mut changes| async {
///             changes.changed().await.ok()?; // the end: the driver keeps the last set
///             let set = changes.borrow_and_update().clone();
///             Some((Ok(set), changes))
///         });
///         Ok(sets.boxed())
///     }
/// }
/// # fn main() {
/// #     let (sender, receiver) = watch::channel(Snapshot::default());
/// #     let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
/// #     runtime.block_on(async {
/// #         let mut sets = Channel(receiver).watch().await.unwrap();
/// #         assert!(sets.next().await.unwrap().unwrap().is_empty());
/// #         drop(sender);
/// #         assert!(sets.next().await.is_none());
/// #     });
/// # }
/// ```
#[doc(alias = "Discover")]
#[doc(alias = "Resolve")]
#[doc(alias = "resolver")]
#[doc(alias = "service discovery")]
#[async_trait]
pub trait Source: fmt::Debug + Send + Sync + 'static {
    /// The label, such as `dns:node1.example.com`: shown in logs and in the status, and set as
    /// [`Backend::source`](field@lb_core::Backend::source) in every backend that has none.
    fn label(&self) -> Arc<str>;

    /// All settings that decide which backends the source yields. Never shown.
    ///
    /// A [`Driver`](crate::Driver) that takes over from another one reuses the last good set of a source with an equal
    /// identity. The first call, when a driver is made, may read small files and block; later calls must be cheap.
    ///
    /// Default: the [label](Self::label). A source adds the settings that its label omits (a port, a name server, the
    /// address of an API).
    fn identity(&self) -> Arc<str> {
        self.label()
    }

    /// Opens a watch. May be called again at any time; watches are independent of each other.
    ///
    /// The stream must not be ready endlessly: a source that polls waits between its lookups. Dropping the future or the
    /// stream ends the watch and frees its resources.
    ///
    /// # Errors
    ///
    /// Any reason why the watch cannot be opened. To the driver, failing here and yielding the error as the first item
    /// are the same.
    async fn watch(&self) -> Result<SnapshotStream, DiscoveryError>;

    /// Opens a watch of the sets before [`adapt`](Self::adapt) changes them. A driver keeps these, so that a driver that
    /// takes over applies its own changes to them. Default: [`watch`](Self::watch).
    ///
    /// # Errors
    ///
    /// As [`watch`](Self::watch).
    async fn watch_raw(&self) -> Result<SnapshotStream, DiscoveryError> {
        self.watch().await
    }

    /// Changes a set of [`watch_raw`](Self::watch_raw) into one of [`watch`](Self::watch). Default: no change. A source
    /// that only changes the sets of another one, such as [`Map`](crate::Map), implements both, and has the identity of
    /// that one.
    fn adapt(&self, raw: Snapshot) -> Snapshot {
        raw
    }

    /// Hints that the last set may be outdated, for instance because connections to its backends fail: every open watch
    /// should look again soon. Must be cheap. May be ignored, and is by default: sources that receive changes need no
    /// hints.
    fn refresh(&self) {}

    /// The sources that this one joins, if it is a union such as [`Merge`](crate::Merge). The [`Driver`](crate::Driver)
    /// follows each part independently, so that a part that fails keeps its last set while the other parts are followed.
    /// A source that wraps another one returns the parts of that one, each wrapped. Default: `None`.
    fn parts(&self) -> Option<Vec<Arc<dyn Source>>> {
        None
    }
}

/// Implements [`Source`] for a type by another source that it holds.
macro_rules! forward_source {
    ([$($generics:tt)*] $type:ty, $self:ident => $inner:expr) => {
        #[async_trait::async_trait]
        impl<$($generics)*> $crate::Source for $type {
            fn label(&$self) -> std::sync::Arc<str> {
                $inner.label()
            }

            fn identity(&$self) -> std::sync::Arc<str> {
                $inner.identity()
            }

            async fn watch(&$self) -> Result<$crate::SnapshotStream, $crate::DiscoveryError> {
                $inner.watch().await
            }

            async fn watch_raw(&$self) -> Result<$crate::SnapshotStream, $crate::DiscoveryError> {
                $inner.watch_raw().await
            }

            fn adapt(&$self, raw: lb_core::Snapshot) -> lb_core::Snapshot {
                $inner.adapt(raw)
            }

            fn refresh(&$self) {
                $inner.refresh();
            }

            fn parts(&$self) -> Option<Vec<std::sync::Arc<dyn $crate::Source>>> {
                $inner.parts()
            }
        }
    };
}
#[cfg(any(feature = "dns", feature = "file", feature = "system-dns"))]
pub(crate) use forward_source;

forward_source!([S: Source + ?Sized] Arc<S>, self => (**self));
forward_source!([S: Source + ?Sized] Box<S>, self => (**self));
