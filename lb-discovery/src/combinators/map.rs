//! A source that changes the backends of another one.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::StreamExt;
use lb_core::{Backend, Snapshot};

use crate::error::DiscoveryError;
use crate::source::{SnapshotStream, Source};

/// Another source, with each backend changed by a function.
///
/// For example: sets the weight, limit or priority that was configured for a name in each address of the name.
///
/// Calls the function for each backend of each set, so it should be cheap. Two backends to which it gives one address
/// become one, as [`Snapshot::from_backends`] says.
///
/// ```
/// use lb_core::{Priority, Snapshot};
/// use lb_discovery::{Map, Static};
///
/// let fixed = Static::new(Snapshot::try_from_backends(["10.0.0.1:446"])?);
/// let backups = Map::new(fixed, |backend| backend.priority(Priority::BACKUP));
/// # drop(backups);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Map {
    inner: Arc<dyn Source>,
    change: BackendFn,
}

/// Returns the changed backend, or `None` to leave it out.
type BackendFn = Arc<dyn Fn(Backend) -> Option<Backend> + Send + Sync>;

impl Map {
    /// Changes each backend of `inner` by `change`. If `change` panics, the source has failed, as if its
    /// [`adapt`](Source::adapt) had panicked.
    pub fn new(
        inner: impl Source,
        change: impl Fn(Backend) -> Backend + Send + Sync + 'static,
    ) -> Self {
        Self::filter_map(inner, move |backend| Some(change(backend)))
    }

    /// Changes each backend of `inner` by `change`, and leaves those out for which it returns `None`.
    pub fn filter_map(
        inner: impl Source,
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
impl Source for Map {
    fn label(&self) -> Arc<str> {
        self.inner.label()
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

    fn parts(&self) -> Option<Vec<Arc<dyn Source>>> {
        let parts = self.inner.parts()?.into_iter();
        let changed = parts.map(|inner| {
            let change = Arc::clone(&self.change);
            Arc::new(Self { inner, change }) as Arc<dyn Source>
        });
        Some(changed.collect())
    }
}
