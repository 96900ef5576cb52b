//! A source that polls.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::{self, StreamExt};
use tokio::sync::watch;

use crate::error::DiscoveryError;
use crate::source::{SnapshotStream, Source};
use crate::sources::polled::lookup::Lookup;
use crate::sources::polled::timing::PollTiming;
use crate::sources::polled::watch::PollWatch;
use crate::timing::backoff::seeded;
use crate::timing::refresh_hints::RefreshHints;

/// A [`Source`] that repeats a [`Lookup`] each time its last answer has expired.
///
/// A watch therefore yields a change once the previous answer has expired, plus the time of one lookup. A lookup that
/// fails ends the watch; the driver decides when to open the next one, which looks up at once.
#[derive(Debug)]
pub struct Polled<L> {
    lookup: Arc<L>,
    identity: OnceLock<Arc<str>>,
    hints: watch::Sender<()>,
    timing: PollTiming,
}

impl<L: Lookup> Polled<L> {
    /// Polls `lookup`, with the default timing.
    pub fn new(lookup: L) -> Self {
        Self {
            lookup: Arc::new(lookup),
            identity: OnceLock::new(),
            hints: watch::Sender::new(()),
            timing: PollTiming {
                interval: Duration::from_secs(10),
                jitter: Duration::from_millis(500),
                min_ttl: Duration::from_secs(1),
                max_ttl: Duration::from_secs(300),
            },
        }
    }

    /// Sets the wait after an answer that does not say how long it holds. Default: 10 s.
    #[must_use]
    pub fn interval(mut self, interval: Duration) -> Self {
        self.timing.interval = interval;
        self
    }

    /// Limits the random addition to each wait, which is at most a tenth of the wait: sources in many processes with
    /// answers that expire together must not stay synchronised. Default: 500 ms.
    #[must_use]
    pub fn jitter(mut self, jitter: Duration) -> Self {
        self.timing.jitter = jitter;
        self
    }

    /// Sets the minimum time between two lookups, [hints](Source::refresh) included: answers with a zero TTL must not
    /// make the loop spin. Default: 1 s; less than 10 ms counts as 10 ms.
    #[must_use]
    pub fn min_ttl(mut self, min_ttl: Duration) -> Self {
        self.timing.min_ttl = min_ttl.max(PollTiming::FLOOR);
        self
    }

    /// Limits how long an answer holds: a zone with a TTL of days may change earlier. Default: 5 min; never less than
    /// [`min_ttl`](Self::min_ttl).
    #[must_use]
    pub fn max_ttl(mut self, max_ttl: Duration) -> Self {
        self.timing.max_ttl = max_ttl;
        self
    }

    /// Replaces the lookup by one that finds the same.
    #[cfg(feature = "system-dns")]
    pub(crate) fn with_lookup(mut self, lookup: L) -> Self {
        self.lookup = Arc::new(lookup);
        self
    }

    /// The lookup.
    #[cfg(any(feature = "dns", feature = "file", feature = "system-dns"))]
    pub(crate) fn inner(&self) -> &L {
        &self.lookup
    }
}

#[async_trait]
impl<L: Lookup> Source for Polled<L> {
    fn label(&self) -> Arc<str> {
        self.lookup.label()
    }

    fn identity(&self) -> Arc<str> {
        Arc::clone(self.identity.get_or_init(|| self.lookup.identity()))
    }

    async fn watch(&self) -> Result<SnapshotStream, DiscoveryError> {
        let watch = PollWatch {
            lookup: Arc::clone(&self.lookup),
            hints: RefreshHints::new(self.hints.subscribe(), self.timing.min_ttl),
            timing: self.timing,
            rng: seeded(),
            next: None,
        };
        Ok(stream::unfold(Some(watch), PollWatch::step).boxed())
    }

    fn refresh(&self) {
        self.hints.send_replace(());
    }
}
