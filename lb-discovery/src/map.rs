//! A source with every backend changed by a function, or left out.

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

    async fn watch(&self) -> Result<SnapshotStream, DiscoveryError> {
        let change = Arc::clone(&self.change);
        let changed = move |snapshot: Snapshot| {
            let backends = snapshot.iter().cloned();
            backends.filter_map(&*change).collect()
        };
        let sets = self.inner.watch().await?;
        Ok(sets.map(move |item| item.map(&changed)).boxed())
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
