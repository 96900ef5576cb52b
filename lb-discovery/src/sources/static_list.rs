//! A fixed list of backends.

use std::fmt::{self, Write};
use std::hash::{DefaultHasher, Hasher};
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use futures::future;
use futures::stream::{self, StreamExt};
use lb_core::Snapshot;

use crate::error::DiscoveryError;
use crate::source::{SnapshotStream, Source};

/// A source with a constant set.
#[doc(alias = "STATIC")]
#[doc(alias = "fixed")]
#[derive(Clone, Debug)]
pub struct Static {
    snapshot: Snapshot,
    label: Arc<str>,
    identity: OnceLock<Arc<str>>,
}

impl Static {
    /// Makes a source that always yields `snapshot`. Its label is `static`.
    pub fn new(snapshot: Snapshot) -> Self {
        Self {
            snapshot,
            label: Arc::from("static"),
            identity: OnceLock::new(),
        }
    }

    /// Sets the [label](Source::label). Default: `static`.
    #[must_use]
    pub fn labelled(mut self, label: impl Into<Arc<str>>) -> Self {
        self.label = label.into();
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
impl Source for Static {
    fn label(&self) -> Arc<str> {
        Arc::clone(&self.label)
    }

    /// Returns a digest of the set. O(n) at the first call, which may take milliseconds for thousands of backends.
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
