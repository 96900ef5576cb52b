//! Sources that are asked, not listened to.

use std::fmt;
use std::num::NonZeroU64;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::{self, StreamExt};
use lb_core::{Rng, Snapshot, SplitMix64};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::error::DiscoveryError;
use crate::source::{Discovery, SnapshotStream};
use crate::timing::backoff::seeded;
use crate::timing::refresh_hints::{FAR, Hints};

/// A source that answers one question at a time. [`Poll`] makes a [`Discovery`] of it.
#[async_trait]
pub trait Lookup: fmt::Debug + Send + Sync + 'static {
    /// The source's label; see [`Discovery::source`].
    fn source(&self) -> Arc<str>;

    /// All that decides what it finds, always the same; see [`Discovery::identity`]. Default: the label.
    fn identity(&self) -> Arc<str> {
        self.source()
    }

    /// Asks for the full current set. Must end in bounded time.
    ///
    /// # Errors
    ///
    /// Whatever keeps the source from knowing. That there is nothing is an error too, one with
    /// [`is_authoritative_empty`](DiscoveryError::is_authoritative_empty), if it is the source's answer.
    async fn lookup(&self) -> Result<Resolved, DiscoveryError>;
}

/// What a [`Lookup`] found.
#[non_exhaustive]
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Resolved {
    /// The full current set.
    pub snapshot: Snapshot,
    /// How long it holds. `None` if the source does not know; then [`Poll::interval`] decides.
    pub valid_for: Option<Duration>,
}

impl Resolved {
    /// A set and the time for which it holds.
    pub fn new(snapshot: Snapshot, valid_for: Option<Duration>) -> Self {
        Self {
            snapshot,
            valid_for,
        }
    }
}

/// A [`Discovery`] that asks a [`Lookup`] again each time its last answer has run out.
///
/// A change is therefore seen when the answer that hid it ends, plus the time of one lookup. A lookup that fails
/// ends the watch; the driver decides when to open the next one, which asks at once.
#[derive(Debug)]
pub struct Poll<L> {
    lookup: Arc<L>,
    identity: OnceLock<Arc<str>>,
    hints: watch::Sender<()>,
    pace: Pace,
}

/// How often to ask.
#[derive(Clone, Copy, Debug)]
struct Pace {
    interval: Duration,
    jitter: Duration,
    min_ttl: Duration,
    max_ttl: Duration,
}

impl<L: Lookup> Poll<L> {
    /// Asks `lookup`, at the default pace.
    pub fn new(lookup: L) -> Self {
        Self {
            lookup: Arc::new(lookup),
            identity: OnceLock::new(),
            hints: watch::Sender::new(()),
            pace: Pace {
                interval: Duration::from_secs(10),
                jitter: Duration::from_millis(500),
                min_ttl: Duration::from_secs(1),
                max_ttl: Duration::from_secs(300),
            },
        }
    }

    /// How long to wait after an answer that does not say how long it holds. Default: 10 s.
    #[must_use]
    pub fn interval(mut self, interval: Duration) -> Self {
        self.pace.interval = interval;
        self
    }

    /// The most that is added to each wait at random, though never more than a tenth of it: many sources whose answers
    /// run out together, in many processes, must not ask together for ever. Default: 500 ms.
    #[must_use]
    pub fn jitter(mut self, jitter: Duration) -> Self {
        self.pace.jitter = jitter;
        self
    }

    /// The shortest time between two lookups, also when [hinted](Discovery::refresh) to look again: answers with a
    /// zero TTL must not make the loop spin. Default: 1 s; less than 10 ms counts as 10 ms.
    #[must_use]
    pub fn min_ttl(mut self, min_ttl: Duration) -> Self {
        self.pace.min_ttl = min_ttl.max(Pace::FLOOR);
        self
    }

    /// The longest that an answer is believed, against a TTL of days in a zone that changes within them. Default:
    /// 5 min; never less than [`min_ttl`](Self::min_ttl).
    #[must_use]
    pub fn max_ttl(mut self, max_ttl: Duration) -> Self {
        self.pace.max_ttl = max_ttl;
        self
    }

    /// What is asked.
    #[cfg(any(feature = "dns", feature = "file"))]
    pub(crate) fn inner(&self) -> &L {
        &self.lookup
    }
}

#[async_trait]
impl<L: Lookup> Discovery for Poll<L> {
    fn source(&self) -> Arc<str> {
        self.lookup.source()
    }

    fn identity(&self) -> Arc<str> {
        Arc::clone(self.identity.get_or_init(|| self.lookup.identity()))
    }

    async fn watch(&self) -> Result<SnapshotStream, DiscoveryError> {
        let watch = Watch {
            lookup: Arc::clone(&self.lookup),
            hints: Hints::new(self.hints.subscribe(), self.pace.min_ttl),
            pace: self.pace,
            rng: seeded(),
            next: None,
        };
        Ok(stream::unfold(Some(watch), Watch::step).boxed())
    }

    fn refresh(&self) {
        self.hints.send_replace(());
    }
}

impl Pace {
    const FLOOR: Duration = Duration::from_millis(10);

    fn wait(&self, valid_for: Option<Duration>, rng: &mut impl Rng) -> Duration {
        let wait = valid_for
            .map_or(self.interval, |valid_for| valid_for.min(self.max_ttl))
            .clamp(self.min_ttl, FAR.max(self.min_ttl));
        let most = u64::try_from(self.jitter.min(wait / 10).as_nanos()).unwrap_or(u64::MAX);
        let drawn = NonZeroU64::new(most).map_or(0, |most| rng.below(most));
        wait.saturating_add(Duration::from_nanos(drawn))
    }
}

/// One open watch.
struct Watch<L> {
    lookup: Arc<L>,
    hints: Hints,
    pace: Pace,
    rng: SplitMix64,
    next: Option<Instant>,
}

impl<L: Lookup> Watch<L> {
    async fn step(watch: Option<Self>) -> Option<(Result<Snapshot, DiscoveryError>, Option<Self>)> {
        let mut watch = watch?;
        if let Some(next) = watch.next {
            tokio::select! {
                () = sleep_until(next) => {}
                () = watch.hints.next() => {}
            }
        }
        watch.hints.clear();
        let item = watch.lookup.lookup().await;
        watch.hints.hold_off();
        match item {
            Ok(resolved) => {
                // Counted from the answer, not from when the consumer comes back for the next item.
                let wait = watch.pace.wait(resolved.valid_for, &mut watch.rng);
                watch.next = Some(Instant::now() + wait.min(FAR));
                Some((Ok(resolved.snapshot), Some(watch)))
            }
            Err(error) => Some((Err(error), None)),
        }
    }
}
