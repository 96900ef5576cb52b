//! The objects of one kind, as far as they are known.

use std::collections::BTreeMap;
use std::fmt;
use std::future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use futures::stream::{BoxStream, StreamExt};
use tokio::time::{Instant, sleep_until};

use crate::error::DiscoveryError;
use crate::sources::kubernetes::api::requests::{Query, Session};
use crate::sources::kubernetes::error;
use crate::sources::kubernetes::objects::record::Record;
use crate::sources::kubernetes::watch::list_watch::{Update, check_count, list_watch};

/// The least and the longest time until an empty list that is not believed yet is asked for again. It may be filled
/// before it would be believed.
const CONFIRM_AGAIN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(5));

/// How long the doubt about an empty list is kept back. A source follows objects of several kinds, and an error ends them
/// all: without this, each kind would be confirmed only after the one before.
const HEAR_OUT: Duration = Duration::from_millis(500);

/// Follows objects and keeps them.
pub(crate) struct Objects<R> {
    updates: BoxStream<'static, Result<Update<R>, DiscoveryError>>,
    what: Box<str>,
    destination: Arc<str>,
    memory: Arc<Memory>,
    known: Option<BTreeMap<String, R>>,
    /// Why the last list is not believed, and when to say so.
    doubt: Option<(Instant, DiscoveryError)>,
}

impl<R: Record> Objects<R> {
    pub(crate) fn follow(session: &Session, query: Query, memory: &Arc<Memory>) -> Self {
        Self {
            what: query.what.clone(),
            destination: Arc::clone(session.destination()),
            updates: list_watch(session.clone(), query),
            memory: Arc::clone(memory),
            known: None,
            doubt: None,
        }
    }

    /// The objects by name. `None` before they were listed.
    pub(crate) fn get(&self) -> Option<&BTreeMap<String, R>> {
        self.known.as_ref()
    }

    /// Waits until something changes. Cancelling the wait loses nothing.
    pub(crate) async fn changed(&mut self) -> Result<(), DiscoveryError> {
        loop {
            if let Some((at, _)) = &self.doubt {
                sleep_until(*at).await;
            }
            if let Some((_, doubt)) = self.doubt.take() {
                return Err(doubt);
            }
            let update = self.updates.next().await;
            let update = update.ok_or_else(|| DiscoveryError::Closed {
                what: self.what.clone(),
            })?;
            match self.apply(update?) {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(doubt @ DiscoveryError::Unusable { .. }) => {
                    self.doubt = Some((Instant::now() + HEAR_OUT, doubt));
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Takes an update in, and tells if it makes a difference.
    fn apply(&mut self, update: Update<R>) -> Result<bool, DiscoveryError> {
        let Some(known) = &mut self.known else {
            if let Update::Replace(listed) = update {
                self.memory
                    .listed(listed.len(), &self.what, &self.destination)?;
                self.known = Some(listed);
            }
            return Ok(true);
        };
        let changes = match update {
            Update::Replace(listed) => {
                self.memory
                    .listed(listed.len(), &self.what, &self.destination)?;
                let differs = listed != *known;
                *known = listed;
                return Ok(differs);
            }
            Update::Apply(name, record) => {
                let differs = known.get(&name) != Some(&record);
                known.insert(name, record);
                check_count(&self.what, known.len())?;
                differs
            }
            Update::Delete(name) => known.remove(&name).is_some(),
        };
        self.memory.watched(known.len());
        Ok(changes)
    }
}

impl<R> fmt::Debug for Objects<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Objects")
            .field("what", &self.what)
            .finish_non_exhaustive()
    }
}

/// Waits for a change of objects that are not always followed.
pub(crate) async fn changed<R: Record>(
    objects: Option<&mut Objects<R>>,
) -> Result<(), DiscoveryError> {
    match objects {
        Some(objects) => objects.changed().await,
        None => future::pending().await,
    }
}

/// How many objects there were, and at which API server, from one watch to the next: an empty list is not believed at
/// once.
///
/// A deletion that is watched is the API's word for it. A list that has suddenly become empty may as well be that of a
/// server which lost its data or answers before it has any.
#[derive(Debug)]
pub(crate) struct Memory {
    confirm_empty: Duration,
    /// Where the configuration led to when that was first asked.
    configured: OnceLock<Option<Arc<str>>>,
    seen: Mutex<Seen>,
    /// Whether the source gave a set last, and did not say that there is none.
    told_backends: AtomicBool,
}

#[derive(Debug, Default)]
struct Seen {
    /// Which objects, and of which API server.
    what: Box<str>,
    /// Where the connections to that lead.
    destination: Option<Arc<str>>,
    count: usize,
    empty_since: Option<Instant>,
}

impl Memory {
    pub(crate) fn new(confirm_empty: Duration) -> Arc<Self> {
        Arc::new(Self {
            confirm_empty,
            configured: OnceLock::new(),
            seen: Mutex::default(),
            told_backends: AtomicBool::new(false),
        })
    }

    /// Where the connections lead that the last list came by. Before the first list, what `read` finds in the
    /// configuration. `read` is called once at most.
    pub(crate) fn destination(&self, read: impl FnOnce() -> Option<Arc<str>>) -> Option<Arc<str>> {
        let listed = self.lock().destination.clone();
        listed.or_else(|| self.configured.get_or_init(read).clone())
    }

    /// Takes the length of a list that came from `destination`. Fails if it is not believed yet.
    pub(crate) fn listed(
        &self,
        count: usize,
        what: &str,
        destination: &Arc<str>,
    ) -> Result<(), DiscoveryError> {
        let mut seen = self.lock();
        let known = seen.destination.as_ref();
        if *seen.what != *what || known.is_some_and(|known| known != destination) {
            // The objects of another cluster or selector say nothing about these.
            *seen = Seen::default();
        }
        if count == 0 && seen.count > 0 {
            let since = *seen.empty_since.get_or_insert_with(Instant::now);
            let left = self.confirm_empty.saturating_sub(since.elapsed());
            if !left.is_zero() {
                let problem = format!(
                    "the list is empty, but had {} before: not believed unless it stays so for {:?}",
                    seen.count, self.confirm_empty
                );
                let again = left.saturating_sub(HEAR_OUT);
                let again = again.clamp(CONFIRM_AGAIN.0, CONFIRM_AGAIN.1);
                return Err(error::unusable(what, &problem, again));
            }
        }
        *seen = Seen {
            what: what.into(),
            destination: Some(Arc::clone(destination)),
            count,
            empty_since: None,
        };
        Ok(())
    }

    /// Takes whether the source has just given a set, or said that there is none.
    pub(crate) fn told(&self, backends: bool) {
        self.told_backends.store(backends, Ordering::Relaxed);
    }

    /// Whether the source gave a set last, in this watch or an earlier one.
    pub(crate) fn told_backends(&self) -> bool {
        self.told_backends.load(Ordering::Relaxed)
    }

    fn watched(&self, count: usize) {
        let mut seen = self.lock();
        seen.count = count;
        seen.empty_since = None;
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
