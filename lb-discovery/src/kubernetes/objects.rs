//! The objects of one kind, as far as they are known.

use std::collections::BTreeMap;
use std::fmt;
use std::future;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use futures::stream::{BoxStream, StreamExt};
use tokio::time::Instant;

use super::failure;
use super::list_watch::{Record, Update, check_count, list_watch};
use super::session::{Query, Session};
use crate::error::DiscoveryError;

/// Follows objects and keeps them.
pub(super) struct Objects<R> {
    updates: BoxStream<'static, Result<Update<R>, DiscoveryError>>,
    what: Box<str>,
    destination: Arc<str>,
    memory: Arc<Memory>,
    known: Option<BTreeMap<String, R>>,
}

impl<R: Record> Objects<R> {
    pub(super) fn follow(session: &Session, query: Query, memory: &Arc<Memory>) -> Self {
        Self {
            what: query.what.clone(),
            destination: Arc::clone(session.destination()),
            updates: list_watch(session.clone(), query),
            memory: Arc::clone(memory),
            known: None,
        }
    }

    /// The objects by name. `None` before they were listed.
    pub(super) fn get(&self) -> Option<&BTreeMap<String, R>> {
        self.known.as_ref()
    }

    /// Waits until something changes. Cancelling the wait loses nothing.
    pub(super) async fn changed(&mut self) -> Result<(), DiscoveryError> {
        loop {
            let update = self.updates.next().await;
            let update = update.ok_or_else(|| DiscoveryError::Closed {
                what: self.what.clone(),
            })?;
            if self.apply(update?)? {
                return Ok(());
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
pub(super) async fn changed<R: Record>(
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
pub(super) struct Memory {
    confirm_empty: Duration,
    /// Where the configuration led to when that was first asked.
    configured: OnceLock<Option<Arc<str>>>,
    seen: Mutex<Seen>,
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
    pub(super) fn new(confirm_empty: Duration) -> Arc<Self> {
        Arc::new(Self {
            confirm_empty,
            configured: OnceLock::new(),
            seen: Mutex::default(),
        })
    }

    /// Where the connections lead that the last list came by. Before the first list, what `read` finds in the
    /// configuration. `read` is called once at most.
    pub(super) fn destination(&self, read: impl FnOnce() -> Option<Arc<str>>) -> Option<Arc<str>> {
        let listed = self.lock().destination.clone();
        listed.or_else(|| self.configured.get_or_init(read).clone())
    }

    /// Takes the length of a list that came from `destination`. Fails if it is not believed yet.
    pub(super) fn listed(
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
            if since.elapsed() < self.confirm_empty {
                let problem = format!(
                    "the list is empty, but had {} before: not believed unless it stays so for {:?}",
                    seen.count, self.confirm_empty
                );
                return Err(failure::unavailable(what, &problem));
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
