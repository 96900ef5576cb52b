//! State that one watch of a source leaves to the next.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::error::DiscoveryError;
use crate::sources::kubernetes::error;

/// The minimum and maximum wait before an empty list that is not accepted yet is requested again. Objects may reappear
/// before it would be accepted.
const CONFIRM_AGAIN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(5));

/// The delay before an empty list that is not accepted is reported as an error. A source follows objects of several kinds,
/// and an error ends all of them: without the delay, each kind would be confirmed only after the previous one.
pub(crate) const REPORT_DELAY: Duration = Duration::from_millis(500);

/// What one watch leaves to the next: how many objects there were, and on which API server.
///
/// With it, an empty list is not accepted at once. A deletion that the server sends is authoritative. A list that has
/// become empty may also come from a server that lost its data, or that answers before it has loaded any.
#[derive(Debug)]
pub(crate) struct WatchHistory {
    confirm_empty: Duration,
    /// The destination of the configuration when it was first read.
    configured: OnceLock<Option<Arc<str>>>,
    last: Mutex<LastList>,
    /// Whether the last item of the source was a set, as opposed to [`NoBackends`](DiscoveryError::NoBackends).
    had_backends: AtomicBool,
}

#[derive(Debug, Default)]
struct LastList {
    /// Which objects, and of which API server.
    what: Box<str>,
    /// The destination of the connections to that server.
    destination: Option<Arc<str>>,
    count: usize,
    empty_since: Option<Instant>,
}

impl WatchHistory {
    pub(crate) fn new(confirm_empty: Duration) -> Arc<Self> {
        Arc::new(Self {
            confirm_empty,
            configured: OnceLock::new(),
            last: Mutex::default(),
            had_backends: AtomicBool::new(false),
        })
    }

    /// The destination of the connection that brought the last list. Before the first list, the one that `read` finds in
    /// the configuration. Calls `read` at most once.
    pub(crate) fn destination(&self, read: impl FnOnce() -> Option<Arc<str>>) -> Option<Arc<str>> {
        let listed = self.lock().destination.clone();
        listed.or_else(|| self.configured.get_or_init(read).clone())
    }

    /// Records the number of objects that were known before the first list, unless there was a list.
    pub(crate) fn begin_with(&self, count: usize, what: &str, destination: &Arc<str>) {
        let mut last = self.lock();
        if last.what.is_empty() {
            *last = LastList {
                what: what.into(),
                destination: Some(Arc::clone(destination)),
                count,
                empty_since: None,
            };
        }
    }

    /// Records the length of a list that came from `destination`. Fails if the list is not accepted yet.
    pub(crate) fn listed(
        &self,
        count: usize,
        what: &str,
        destination: &Arc<str>,
    ) -> Result<(), DiscoveryError> {
        let mut last = self.lock();
        let known = last.destination.as_ref();
        if *last.what != *what || known.is_some_and(|known| known != destination) {
            // The number of objects of another cluster or selector does not count for these.
            *last = LastList::default();
        }
        if count == 0 && last.count > 0 {
            let since = *last.empty_since.get_or_insert_with(Instant::now);
            let left = self.confirm_empty.saturating_sub(since.elapsed());
            if !left.is_zero() {
                let problem = format!(
                    "the list is empty, but had {} before: not accepted before it has stayed empty for {:?}",
                    last.count, self.confirm_empty
                );
                let again = left.saturating_sub(REPORT_DELAY);
                let again = again.clamp(CONFIRM_AGAIN.0, CONFIRM_AGAIN.1);
                return Err(error::unusable(what, &problem, again));
            }
        }
        *last = LastList {
            what: what.into(),
            destination: Some(Arc::clone(destination)),
            count,
            empty_since: None,
        };
        Ok(())
    }

    /// Records whether the source has just yielded a set, or that there are no backends.
    pub(crate) fn yielded(&self, backends: bool) {
        // Relaxed: publishes no other memory.
        self.had_backends.store(backends, Ordering::Relaxed);
    }

    /// Whether the last item of the source, in this watch or an earlier one, was a set.
    pub(crate) fn had_backends(&self) -> bool {
        self.had_backends.load(Ordering::Relaxed)
    }

    /// Records the number of objects after a watched change.
    pub(crate) fn watched(&self, count: usize) {
        let mut last = self.lock();
        last.count = count;
        last.empty_since = None;
    }

    fn lock(&self) -> MutexGuard<'_, LastList> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
