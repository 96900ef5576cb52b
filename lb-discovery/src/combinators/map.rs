//! A source with every backend changed by a function, or left out.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::StreamExt;
use lb_core::{Backend, Snapshot};

use crate::error::DiscoveryError;
use crate::source::{Discovery, SnapshotStream};

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
/// let backups = Map::new(fixed, |backend| backend.with_priority(Priority::BACKUP));
/// # drop(backups);
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone)]
pub struct Map {
    inner: Arc<dyn Discovery>,
    change: Change,
}

/// What becomes of a backend, if anything.
type Change = Arc<dyn Fn(Backend) -> Option<Backend> + Send + Sync>;

impl Map {
    /// The backends of `inner`, each as `change` returns it.
    pub fn new(
        inner: impl Discovery,
        change: impl Fn(Backend) -> Backend + Send + Sync + 'static,
    ) -> Self {
        Self::filter_map(inner, move |backend| Some(change(backend)))
    }

    /// The backends of `inner` for which `change` returns one, as it returns them.
    pub fn filter_map(
        inner: impl Discovery,
        change: impl Fn(Backend) -> Option<Backend> + Send + Sync + 'static,
    ) -> Self {
        Self {
            inner: Arc::new(inner),
            change: Arc::new(change),
        }
    }
}

impl fmt::Debug for Map {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Map")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Discovery for Map {
    fn source(&self) -> Arc<str> {
        self.inner.source()
    }

    fn identity(&self) -> Arc<str> {
        self.inner.identity()
    }

    async fn watch(&self) -> Result<SnapshotStream, DiscoveryError> {
        let map = self.clone();
        let sets = self.watch_raw().await?;
        Ok(sets.map(move |item| item.map(|raw| map.adapt(raw))).boxed())
    }

    async fn watch_raw(&self) -> Result<SnapshotStream, DiscoveryError> {
        self.inner.watch_raw().await
    }

    fn adapt(&self, raw: Snapshot) -> Snapshot {
        let inner = self.inner.adapt(raw);
        let backends = inner.iter().cloned();
        backends.filter_map(&*self.change).collect()
    }

    fn refresh(&self) {
        self.inner.refresh();
    }

    fn parts(&self) -> Option<Vec<Arc<dyn Discovery>>> {
        let parts = self.inner.parts()?.into_iter();
        let changed = parts.map(|inner| {
            let change = Arc::clone(&self.change);
            Arc::new(Self { inner, change }) as Arc<dyn Discovery>
        });
        Some(changed.collect())
    }
}
