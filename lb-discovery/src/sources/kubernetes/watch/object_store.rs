//! The current objects of one kind.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::future;
use std::sync::Arc;

use futures::stream::{BoxStream, StreamExt};
use tokio::time::{Instant, sleep_until};

use crate::error::DiscoveryError;
use crate::sources::kubernetes::api::api_client::{ApiClient, Query};
use crate::sources::kubernetes::objects::projection::Projection;
use crate::sources::kubernetes::watch::history::{REPORT_DELAY, WatchHistory};
use crate::sources::kubernetes::watch::list_watch::{Update, check_count, list_watch};

/// Follows the objects of one kind, and keeps the fields that the source uses.
#[doc(alias = "informer")]
#[doc(alias = "reflector")]
pub(crate) struct ObjectStore<R> {
    updates: BoxStream<'static, Result<Update<R>, DiscoveryError>>,
    what: Box<str>,
    destination: Arc<str>,
    history: Arc<WatchHistory>,
    known: Option<BTreeMap<String, R>>,
    /// Why the last list is not accepted, and when to report that.
    unaccepted: Option<(Instant, DiscoveryError)>,
    /// The names of the objects that have changed, where they are wanted.
    changes: Option<BTreeSet<String>>,
    /// Whether the next list counts as a change even if it has none.
    reports_list: bool,
}

impl<R: Projection> ObjectStore<R> {
    pub(crate) fn follow(api: &ApiClient, query: Query, history: &Arc<WatchHistory>) -> Self {
        Self {
            what: query.what.clone(),
            destination: Arc::clone(api.destination()),
            updates: list_watch(api.clone(), query),
            history: Arc::clone(history),
            known: None,
            unaccepted: None,
            changes: None,
            reports_list: false,
        }
    }

    /// Follows the objects again that another store knew last, and records which of them [change](Self::take_changes). The
    /// first list counts as a change in any case.
    pub(crate) fn resume(
        api: &ApiClient,
        query: Query,
        history: &Arc<WatchHistory>,
        known: Option<BTreeMap<String, R>>,
    ) -> Self {
        Self {
            known,
            changes: Some(BTreeSet::new()),
            reports_list: true,
            ..Self::follow(api, query, history)
        }
    }

    /// The names of the objects that have changed since the last call, if they are recorded.
    pub(crate) fn take_changes(&mut self) -> BTreeSet<String> {
        self.changes
            .as_mut()
            .map(std::mem::take)
            .unwrap_or_default()
    }

    /// The objects by name, for a store that resumes.
    pub(crate) fn into_objects(self) -> Option<BTreeMap<String, R>> {
        self.known
    }

    /// The objects by name. `None` before the first list.
    pub(crate) fn get(&self) -> Option<&BTreeMap<String, R>> {
        self.known.as_ref()
    }

    /// Waits until an object changes. Cancel-safe.
    pub(crate) async fn changed(&mut self) -> Result<(), DiscoveryError> {
        loop {
            if let Some((at, _)) = &self.unaccepted {
                sleep_until(*at).await;
            }
            if let Some((_, error)) = self.unaccepted.take() {
                return Err(error);
            }
            let update = self.updates.next().await;
            let update = update.ok_or_else(|| DiscoveryError::Closed {
                what: self.what.clone(),
            })?;
            match self.apply(update?) {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(error @ DiscoveryError::Unusable { .. }) => {
                    self.unaccepted = Some((Instant::now() + REPORT_DELAY, error));
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Applies an update. Returns whether it changes the objects.
    fn apply(&mut self, update: Update<R>) -> Result<bool, DiscoveryError> {
        let Some(known) = &mut self.known else {
            if let Update::Replace(listed) = update {
                self.history
                    .listed(listed.len(), &self.what, &self.destination)?;
                if let Some(changes) = &mut self.changes {
                    changes.extend(listed.keys().cloned());
                }
                self.known = Some(listed);
            }
            return Ok(true);
        };
        let changes = match update {
            Update::Replace(listed) => {
                self.history
                    .listed(listed.len(), &self.what, &self.destination)?;
                let differs = listed != *known;
                if let Some(changes) = self.changes.as_mut().filter(|_| differs) {
                    let gone = known.keys().filter(|name| !listed.contains_key(*name));
                    changes.extend(gone.cloned());
                    let new = listed
                        .iter()
                        .filter(|(name, new)| known.get(*name) != Some(*new));
                    changes.extend(new.map(|(name, _)| name.clone()));
                }
                *known = listed;
                return Ok(std::mem::take(&mut self.reports_list) || differs);
            }
            Update::Apply(name, record) => {
                let differs = known.get(&name) != Some(&record);
                if let Some(changes) = self.changes.as_mut().filter(|_| differs) {
                    changes.insert(name.clone());
                }
                known.insert(name, record);
                check_count(&self.what, known.len())?;
                differs
            }
            Update::Delete(name) => {
                let was_known = known.remove(&name).is_some();
                if let Some(changes) = self.changes.as_mut().filter(|_| was_known) {
                    changes.insert(name);
                }
                was_known
            }
        };
        self.history.watched(known.len());
        Ok(changes)
    }
}

impl<R> fmt::Debug for ObjectStore<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Objects")
            .field("what", &self.what)
            .finish_non_exhaustive()
    }
}

/// Waits for a change of objects that are followed only at times.
pub(crate) async fn changed<R: Projection>(
    objects: Option<&mut ObjectStore<R>>,
) -> Result<(), DiscoveryError> {
    match objects {
        Some(objects) => objects.changed().await,
        None => future::pending().await,
    }
}

#[cfg(test)]
mod tests;
