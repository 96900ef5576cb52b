//! A fixed list.

use std::sync::Arc;

use async_trait::async_trait;
use futures::future;
use futures::stream::{self, StreamExt};
use lb_core::Snapshot;

use crate::discovery::{Discovery, SnapshotStream};
use crate::error::DiscoveryError;

/// A source whose set never changes.
#[derive(Clone, Debug)]
pub struct Static {
    snapshot: Snapshot,
    source: Arc<str>,
}

impl Static {
    /// A source that always reports `snapshot`, under the label `static`.
    pub fn new(snapshot: Snapshot) -> Self {
        Self {
            snapshot,
            source: Arc::from("static"),
        }
    }

    /// Sets the [label](Discovery::source). Default: `static`.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Arc<str>>) -> Self {
        self.source = source.into();
        self
    }
}

#[async_trait]
impl Discovery for Static {
    fn source(&self) -> Arc<str> {
        Arc::clone(&self.source)
    }

    fn identity(&self) -> Arc<str> {
        format!("static {:?}", self.snapshot).into()
    }

    async fn watch(&self) -> Result<SnapshotStream, DiscoveryError> {
        let only = stream::once(future::ready(Ok(self.snapshot.clone())));
        Ok(only.chain(stream::pending()).boxed())
    }
}
