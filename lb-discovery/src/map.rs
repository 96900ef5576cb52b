//! A source with every backend changed by a function.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::StreamExt;
use lb_core::{Backend, Snapshot};

use crate::discovery::{Discovery, SnapshotStream};
use crate::error::DiscoveryError;

/// Another source whose every backend passes through a function: to give what a name resolves to the weight, limit
/// or priority that was configured for the name.
///
/// The function is called for each backend of each set, so it should be cheap. Two backends that it gives one
/// address become one, as [`Snapshot::from_backends`] says.
///
/// ```
/// use lb_core::{Backend, Priority, Snapshot};
/// use lb_discovery::{Map, Static};
///
/// let fixed = Static::new(Snapshot::from_backends([Backend::new("10.0.0.1:446".parse()?)]));
/// let backups = Map::new(fixed, |backend: Backend| backend.with_priority(Priority::BACKUP));
/// # drop(backups);
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
pub struct Map<D, F> {
    inner: D,
    change: Arc<F>,
}

impl<D, F> Map<D, F>
where
    D: Discovery,
    F: Fn(Backend) -> Backend + Send + Sync + 'static,
{
    /// The backends of `inner`, each as `change` returns it.
    pub fn new(inner: D, change: F) -> Self {
        Self {
            inner,
            change: Arc::new(change),
        }
    }
}

impl<D: fmt::Debug, F> fmt::Debug for Map<D, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Map")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl<D, F> Discovery for Map<D, F>
where
    D: Discovery,
    F: Fn(Backend) -> Backend + Send + Sync + 'static,
{
    fn source(&self) -> Arc<str> {
        self.inner.source()
    }

    async fn watch(&self) -> Result<SnapshotStream, DiscoveryError> {
        let change = Arc::clone(&self.change);
        let changed = move |snapshot: Snapshot| snapshot.iter().cloned().map(&*change).collect();
        let sets = self.inner.watch().await?;
        Ok(sets.map(move |item| item.map(&changed)).boxed())
    }

    fn refresh(&self) {
        self.inner.refresh();
    }
}
