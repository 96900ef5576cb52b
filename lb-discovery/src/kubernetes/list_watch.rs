//! Following the objects of one kind: a list, then what changes.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use futures::stream::{self, BoxStream, StreamExt};
use kube::core::WatchEvent;
use kube::{Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep_until};
use tracing::debug;

use super::failure::{self, Failure};
use super::session::{Lines, Query, Session, garbage};
use crate::error::DiscoveryError;

/// The least time between the beginnings of two watches, so that a server which ends each at once makes no loop that
/// spins.
const WATCH_GAP: Duration = Duration::from_secs(1);

/// The most objects of a kind that are kept.
const MAX_OBJECTS: usize = 100_000;

/// The most pages in a row that bring nothing new. There may be some: of a page's objects none may be meant.
const MAX_IDLE_PAGES: u32 = 100;

/// An object, cut down to what is needed of it.
pub(super) trait Record: Clone + fmt::Debug + PartialEq + Send + 'static {
    /// The object as the API has it.
    type Object: Resource<DynamicType = ()> + Clone + DeserializeOwned + Send;

    fn of(object: Self::Object) -> Self;
}

/// What happened to the objects, by name.
#[derive(Debug)]
pub(super) enum Update<R> {
    Apply(String, R),
    Delete(String),
    /// These are all.
    Replace(BTreeMap<String, R>),
}

/// The objects that `query` means: all of them first, then every change.
///
/// A watch that ends goes on where it was; 410 Gone, which says that this is too long ago, is answered by a fresh list,
/// in one piece, so that nobody sees a part of it. Any other failure ends the stream.
pub(super) fn list_watch<R: Record>(
    session: Session,
    query: Query,
) -> BoxStream<'static, Result<Update<R>, DiscoveryError>> {
    let state = ListWatch {
        session,
        query,
        version: None,
        lines: None,
        next_watch: Instant::now(),
    };
    stream::try_unfold(state, |mut state| async {
        let update = state.next().await?;
        Ok(Some((update, state)))
    })
    .boxed()
}

struct ListWatch {
    session: Session,
    query: Query,
    /// What the objects are as of; without it, a list is due.
    version: Option<String>,
    lines: Option<Lines>,
    next_watch: Instant,
}

impl ListWatch {
    async fn next<R: Record>(&mut self) -> Result<Update<R>, DiscoveryError> {
        loop {
            let Some(version) = &self.version else {
                let (objects, version) = list(&self.session, &self.query).await?;
                self.version = Some(version);
                return Ok(Update::Replace(objects));
            };
            let Some(lines) = &mut self.lines else {
                sleep_until(self.next_watch).await;
                self.next_watch = Instant::now() + WATCH_GAP;
                match self.session.watch(&self.query, version).await {
                    Ok(lines) => self.lines = Some(lines),
                    Err(Failure::Gone) => self.forget(),
                    Err(Failure::Other(error)) => return Err(error),
                }
                continue;
            };
            let Some(line) = lines.next(&self.query).await? else {
                self.lines = None;
                continue;
            };
            let event = serde_json::from_slice(line).map_err(|e| garbage(&self.query, &e))?;
            if let Some(update) = self.take::<R>(event)? {
                return Ok(update);
            }
        }
    }

    fn take<R: Record>(
        &mut self,
        event: WatchEvent<R::Object>,
    ) -> Result<Option<Update<R>>, DiscoveryError> {
        let (object, deleted) = match event {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => (object, false),
            WatchEvent::Deleted(object) => (object, true),
            WatchEvent::Bookmark(bookmark) => {
                let version = Some(bookmark.metadata.resource_version);
                self.version = Some(versioned(&self.query, version)?);
                return Ok(None);
            }
            WatchEvent::Error(status) => {
                return match failure::of_status(&self.query.what, &status) {
                    Failure::Gone => {
                        self.forget();
                        Ok(None)
                    }
                    Failure::Other(error) => Err(error),
                };
            }
        };
        self.version = Some(versioned(&self.query, object.resource_version())?);
        let name = object.name_any();
        Ok(Some(if deleted {
            Update::Delete(name)
        } else {
            Update::Apply(name, R::of(object))
        }))
    }

    fn forget(&mut self) {
        debug!(what = %self.query.what, "Too old to go on from, listing again");
        self.version = None;
        self.lines = None;
    }
}

/// All objects, and what they are as of. A list that the server forgets between two pages is begun again, once.
pub(super) async fn list<R: Record>(
    session: &Session,
    query: &Query,
) -> Result<(BTreeMap<String, R>, String), DiscoveryError> {
    match pages(session, query).await {
        Err(Failure::Gone) => pages(session, query).await,
        done => done,
    }
    .map_err(|failure| failure.into_error(&query.what))
}

async fn pages<R: Record>(
    session: &Session,
    query: &Query,
) -> Result<(BTreeMap<String, R>, String), Failure> {
    let mut objects = BTreeMap::new();
    let mut token = None;
    let mut idle = 0;
    loop {
        let page = session.page::<R::Object>(query, token).await?;
        let known = objects.len();
        let named = page.items.into_iter().map(|o| (o.name_any(), R::of(o)));
        objects.extend(named);
        check_count(&query.what, objects.len()).map_err(Failure::Other)?;
        idle = if objects.len() > known { 0 } else { idle + 1 };
        if idle > MAX_IDLE_PAGES {
            let problem = format!("{idle} pages in a row without a new object, and no end");
            return Err(Failure::Other(failure::unavailable(&query.what, &problem)));
        }
        token = page.metadata.continue_.filter(|token| !token.is_empty());
        if token.is_none() {
            let version = versioned(query, page.metadata.resource_version);
            return Ok((objects, version.map_err(Failure::Other)?));
        }
    }
}

/// Refuses more objects than are kept.
pub(super) fn check_count(what: &str, count: usize) -> Result<(), DiscoveryError> {
    if count <= MAX_OBJECTS {
        return Ok(());
    }
    let problem = format!("more than {MAX_OBJECTS} objects");
    Err(failure::config(what, &problem))
}

fn versioned(query: &Query, version: Option<String>) -> Result<String, DiscoveryError> {
    version
        .filter(|version| !version.is_empty())
        .ok_or_else(|| failure::unavailable(&query.what, "an answer without a resourceVersion"))
}
