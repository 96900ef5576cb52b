//! The contract of a source.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::BoxStream;
use lb_core::Snapshot;

use crate::error::DiscoveryError;

/// What a watch yields: the full current set first, then the full set again whenever it may have changed.
///
/// An `Err` that is an answer ([`is_authoritative_empty`](DiscoveryError::is_authoritative_empty)) says that the set is
/// empty, and why; the stream may go on with the next set, or end. After any other `Err`, and after the end, the watcher
/// opens a new watch.
pub type SnapshotStream = BoxStream<'static, Result<Snapshot, DiscoveryError>>;

/// A source of backends.
///
/// A source reports what it knows and nothing else. It does not retry, does not remember a last good set and does
/// not log its failures: the [`Driver`](crate::Driver) does, alike for all sources. A source whose answers come in
/// no stable order sorts them, so that equal knowledge makes equal snapshots.
///
/// Sources that are asked rather than listened to implement [`Lookup`](crate::Lookup) and are adapted by
/// [`Poll`](crate::Poll).
#[async_trait]
pub trait Discovery: fmt::Debug + Send + Sync + 'static {
    /// The source's label, such as `dns:node1.example.com`: shown in logs and in the status, and given to every
    /// backend that names no source itself.
    fn source(&self) -> Arc<str>;

    /// All that decides which backends the source gives: a [`Driver`](crate::Driver) that takes over from another one
    /// takes the last good set of a source over if the identities are equal. Never shown. The first call, when a driver is
    /// made, may read small files and take its time; later calls must be cheap.
    ///
    /// Default: the [label](Self::source). A source whose label leaves something out (a port, a name server, the address
    /// of an API) adds it here.
    fn identity(&self) -> Arc<str> {
        self.source()
    }

    /// Opens a watch. May be called again at any time; watches are independent of each other.
    ///
    /// The stream must not be ready without end: a source that polls waits between its questions. Dropping the
    /// future or the stream ends the watch and frees what it holds.
    ///
    /// # Errors
    ///
    /// Whatever keeps the watch from being opened. Failing here and yielding the error as the first item are the
    /// same to the driver.
    async fn watch(&self) -> Result<SnapshotStream, DiscoveryError>;

    /// Opens a watch of the sets before [`adapt`](Self::adapt) changes them. A driver remembers these, so that a driver
    /// that takes over applies its own changes to them. Default: [`watch`](Self::watch).
    ///
    /// # Errors
    ///
    /// As [`watch`](Self::watch).
    async fn watch_raw(&self) -> Result<SnapshotStream, DiscoveryError> {
        self.watch().await
    }

    /// What this source makes of a set of [`watch_raw`](Self::watch_raw). Default: the set as it is. A source that only
    /// changes the sets of another one, such as [`Map`](crate::Map), implements both, and has the identity of that one.
    fn adapt(&self, raw: Snapshot) -> Snapshot {
        raw
    }

    /// A hint that the last set may be outdated, for instance because connections to its backends fail: every open
    /// watch should look again soon. Must be cheap and may be ignored; by default it is. Sources that are told of
    /// changes need no hints.
    fn refresh(&self) {}

    /// The sources that this one is made of, if it is made of several, such as a [`Merge`](crate::Merge). The
    /// [`Driver`](crate::Driver) follows each of them by itself, so that one that fails keeps its last set while the
    /// others go on. A source that wraps another passes on the parts of that, wrapped. Default: `None`.
    fn parts(&self) -> Option<Vec<Arc<dyn Discovery>>> {
        None
    }
}

#[async_trait]
impl<D: Discovery + ?Sized> Discovery for Arc<D> {
    fn source(&self) -> Arc<str> {
        (**self).source()
    }

    fn identity(&self) -> Arc<str> {
        (**self).identity()
    }

    async fn watch(&self) -> Result<SnapshotStream, DiscoveryError> {
        (**self).watch().await
    }

    async fn watch_raw(&self) -> Result<SnapshotStream, DiscoveryError> {
        (**self).watch_raw().await
    }

    fn adapt(&self, raw: Snapshot) -> Snapshot {
        (**self).adapt(raw)
    }

    fn refresh(&self) {
        (**self).refresh();
    }

    fn parts(&self) -> Option<Vec<Arc<dyn Discovery>>> {
        (**self).parts()
    }
}

#[async_trait]
impl<D: Discovery + ?Sized> Discovery for Box<D> {
    fn source(&self) -> Arc<str> {
        (**self).source()
    }

    fn identity(&self) -> Arc<str> {
        (**self).identity()
    }

    async fn watch(&self) -> Result<SnapshotStream, DiscoveryError> {
        (**self).watch().await
    }

    async fn watch_raw(&self) -> Result<SnapshotStream, DiscoveryError> {
        (**self).watch_raw().await
    }

    fn adapt(&self, raw: Snapshot) -> Snapshot {
        (**self).adapt(raw)
    }

    fn refresh(&self) {
        (**self).refresh();
    }

    fn parts(&self) -> Option<Vec<Arc<dyn Discovery>>> {
        (**self).parts()
    }
}

/// Names the source in every backend that names none.
pub(crate) fn with_provenance(snapshot: Snapshot, label: &Arc<str>) -> Snapshot {
    if snapshot.iter().all(|backend| backend.source.is_some()) {
        return snapshot;
    }
    let named = snapshot.iter().map(|backend| {
        let mut backend = backend.clone();
        backend.source.get_or_insert_with(|| Arc::clone(label));
        backend
    });
    named.collect()
}
