//! A source without some of its backends.

use std::sync::Arc;

use async_trait::async_trait;
use lb_core::{Backend, Snapshot};

use crate::combinators::map::Map;
use crate::error::DiscoveryError;
use crate::source::{SnapshotStream, Source};

/// Another source without the backends that a predicate rejects.
///
/// For example: only the backends of one zone, only IPv4, or only the first tier of a service.
///
/// Calls the predicate for each backend of each set, so it should be cheap. A set of which no backend is left is an empty
/// set, not a failure.
///
/// ```
/// use lb_core::Snapshot;
/// use lb_discovery::{Filter, Static};
///
/// let fixed = Static::new(Snapshot::try_from_backends(["10.0.0.1:446"])?);
/// let here = Filter::new(fixed, |backend| backend.zone.as_deref() == Some("rack-1"));
/// # drop(here);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Filter(Map);

impl Filter {
    /// Keeps the backends of `inner` for which `wanted` returns true.
    pub fn new(
        inner: impl Source,
        wanted: impl Fn(&Backend) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self(Map::filter_map(inner, move |b| wanted(&b).then_some(b)))
    }
}

#[async_trait]
impl Source for Filter {
    fn label(&self) -> Arc<str> {
        self.0.label()
    }

    fn identity(&self) -> Arc<str> {
        self.0.identity()
    }

    async fn watch(&self) -> Result<SnapshotStream, DiscoveryError> {
        self.0.watch().await
    }

    async fn watch_raw(&self) -> Result<SnapshotStream, DiscoveryError> {
        self.0.watch_raw().await
    }

    fn adapt(&self, raw: Snapshot) -> Snapshot {
        self.0.adapt(raw)
    }

    fn refresh(&self) {
        self.0.refresh();
    }

    fn parts(&self) -> Option<Vec<Arc<dyn Source>>> {
        self.0.parts()
    }
}
