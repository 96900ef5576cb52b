//! A fixed list.

use std::fmt::{self, Write};
use std::hash::{DefaultHasher, Hasher};
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use futures::future;
use futures::stream::{self, StreamExt};
use lb_core::Snapshot;

use crate::error::DiscoveryError;
use crate::source::{Discovery, SnapshotStream};

/// A source whose set never changes.
#[derive(Clone, Debug)]
pub struct Static {
    snapshot: Snapshot,
    source: Arc<str>,
    identity: OnceLock<Arc<str>>,
}

impl Static {
    /// A source that always reports `snapshot`, under the label `static`.
    pub fn new(snapshot: Snapshot) -> Self {
        Self {
            snapshot,
            source: Arc::from("static"),
            identity: OnceLock::new(),
        }
    }

    /// Sets the [label](Discovery::source). Default: `static`.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Arc<str>>) -> Self {
        self.source = source.into();
        self
    }
}

/// Hashes the text that is written to it.
struct Digest(DefaultHasher);

impl Write for Digest {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}

#[async_trait]
impl Discovery for Static {
    fn source(&self) -> Arc<str> {
        Arc::clone(&self.source)
    }

    /// A digest of the set. O(n) at the first call, which may take milliseconds for thousands of backends.
    fn identity(&self) -> Arc<str> {
        let compute = || {
            let mut digest = Digest(DefaultHasher::new());
            // Writing to a hasher does not fail.
            let _ = write!(digest, "{:?}", self.snapshot);
            let (len, digest) = (self.snapshot.len(), digest.0.finish());
            format!("static {len} {digest:016x}").into()
        };
        Arc::clone(self.identity.get_or_init(compute))
    }

    async fn watch(&self) -> Result<SnapshotStream, DiscoveryError> {
        let only = stream::once(future::ready(Ok(self.snapshot.clone())));
        Ok(only.chain(stream::pending()).boxed())
    }
}
