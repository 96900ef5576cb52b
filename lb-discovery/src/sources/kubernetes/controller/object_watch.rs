//! Following all objects of a kind.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::collection::Collection;
use super::metadata::ApiObject;
use super::wire::SharedObject;
use crate::error::DiscoveryError;
use crate::sources::kubernetes::cluster::Cluster;
use crate::sources::kubernetes::watch::history::WatchHistory;
use crate::sources::kubernetes::watch::object_store::ObjectStore;
use crate::timing::backoff::{Backoff, seeded};

/// How many events may wait for the program. Then the watch waits.
const BUFFER: usize = 1024;

/// The delays between failing attempts, as those of a [`Driver`](crate::Driver).
const BACKOFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

/// What an [`ObjectWatch`] reports.
#[non_exhaustive]
#[derive(Debug)]
pub enum ObjectEvent<T> {
    /// An object is new, or has changed.
    Applied {
        /// The [key](super::Metadata::key).
        key: String,
        /// The object.
        object: Arc<T>,
    },
    /// An object no longer exists.
    Deleted {
        /// The [key](super::Metadata::key).
        key: String,
    },
    /// The first list is complete. Comes once.
    Listed,
    /// The server cannot be asked, or refuses. The objects known so far stay.
    Failed(DiscoveryError),
    /// The server answers again after a failure.
    Recovered,
}

/// Follows the objects of a [`Collection`] in a task of its own, until it is dropped.
///
/// It never ends and never gives up: after a failure it asks again, with a growing and jittered delay or the one that the server asks
/// for. Objects that are not in a later list are reported as deleted. An empty list after there were objects is accepted only once it
/// has lasted for [`Cluster::confirm_empty`]. An object that a server sends again without a change is not reported.
///
/// Memory: the objects, once, as the program's type.
pub struct ObjectWatch<T> {
    events: mpsc::Receiver<ObjectEvent<T>>,
    task: JoinHandle<()>,
}

impl<T: ApiObject> ObjectWatch<T> {
    /// Begins to follow the objects. Needs the context of a Tokio runtime with I/O and time enabled.
    pub fn follow(cluster: &Cluster, collection: Collection) -> Self {
        Self::begin(cluster, collection, None)
    }

    /// Begins to follow objects of which the program knows `objects` already, as from a file, by their
    /// [keys](super::Metadata::key). The first list is reported as its difference from them, and if it is empty it needs to last
    /// as any later one.
    pub fn begin_with(
        cluster: &Cluster,
        collection: Collection,
        objects: BTreeMap<String, Arc<T>>,
    ) -> Self {
        let objects = objects.into_iter();
        let objects = objects.map(|(key, object)| (key, SharedObject(object)));
        Self::begin(cluster, collection, Some(objects.collect()))
    }

    fn begin(
        cluster: &Cluster,
        collection: Collection,
        objects: Option<BTreeMap<String, SharedObject<T>>>,
    ) -> Self {
        let (sender, events) = mpsc::channel(BUFFER);
        let follower = ObjectFollower {
            history: WatchHistory::new(cluster.confirm_empty),
            cluster: cluster.clone(),
            collection,
            sender,
            objects,
            has_listed: false,
            has_failed: false,
        };
        let task = tokio::spawn(follower.run());
        Self { events, task }
    }

    /// The next event. Cancel-safe.
    pub async fn next(&mut self) -> ObjectEvent<T> {
        match self.events.recv().await {
            Some(event) => event,
            // The task ends only with the runtime.
            None => std::future::pending().await,
        }
    }
}

impl<T> Drop for ObjectWatch<T> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl<T> fmt::Debug for ObjectWatch<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObjectWatch").finish_non_exhaustive()
    }
}

struct ObjectFollower<T> {
    cluster: Cluster,
    collection: Collection,
    history: Arc<WatchHistory>,
    sender: mpsc::Sender<ObjectEvent<T>>,
    /// What the last watch knew.
    objects: Option<BTreeMap<String, SharedObject<T>>>,
    has_listed: bool,
    has_failed: bool,
}

/// The program has dropped the watch.
struct Dropped;

impl<T: ApiObject> ObjectFollower<T> {
    async fn run(mut self) {
        let mut rng = seeded();
        let mut backoff = Backoff::new(BACKOFF.0, BACKOFF.1);
        loop {
            let mut has_answered = false;
            let Ok(error) = self.watch(&mut has_answered).await else {
                return;
            };
            if has_answered {
                backoff.reset();
            }
            let asked = error.retry_after().or_else(|| error.valid_for());
            let delay = asked.unwrap_or_else(|| backoff.next_delay(&mut rng));
            self.has_failed = true;
            if self.send(ObjectEvent::Failed(error)).await.is_err() {
                return;
            }
            sleep(delay.clamp(Backoff::MIN_BASE, BACKOFF.1)).await;
        }
    }

    /// Follows the objects until a failure, which it returns.
    async fn watch(&mut self, has_answered: &mut bool) -> Result<DiscoveryError, Dropped> {
        let api = match self.cluster.open().await {
            Ok(api) => api,
            Err(error) => return Ok(error),
        };
        let query = api.query_of(&self.collection);
        if let Some(known) = self.objects.as_ref().filter(|_| !self.has_listed) {
            let destination = api.destination();
            self.history
                .begin_with(known.len(), &query.what, destination);
        }
        let mut store = ObjectStore::resume(&api, query, &self.history, self.objects.take());
        let failure = loop {
            if let Err(error) = store.changed().await {
                break error;
            }
            let is_list = !std::mem::replace(has_answered, true);
            if is_list && std::mem::take(&mut self.has_failed) {
                self.send(ObjectEvent::Recovered).await?;
            }
            for key in store.take_changes() {
                let object = store.get().and_then(|objects| objects.get(&key));
                let event = match object.cloned() {
                    Some(SharedObject(object)) => ObjectEvent::Applied { key, object },
                    None => ObjectEvent::Deleted { key },
                };
                self.send(event).await?;
            }
            if is_list && !std::mem::replace(&mut self.has_listed, true) {
                self.send(ObjectEvent::Listed).await?;
            }
        };
        self.objects = store.into_objects();
        Ok(failure)
    }

    async fn send(&self, event: ObjectEvent<T>) -> Result<(), Dropped> {
        self.sender.send(event).await.map_err(|_| Dropped)
    }
}
