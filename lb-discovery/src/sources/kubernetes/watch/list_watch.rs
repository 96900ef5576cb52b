//! Following the objects of one kind: a list, then what changes.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::time::Duration;

use futures::stream::{self, BoxStream, StreamExt};
use kube::ResourceExt;
use kube::core::WatchEvent;
use lb_core::{Rng, SplitMix64};
use tokio::time::{Instant, sleep_until};
use tracing::{debug, warn};

use crate::error::DiscoveryError;
use crate::sources::kubernetes::api::requests::{Lines, Query, Session, garbage};
use crate::sources::kubernetes::error::{self, Failure};
use crate::sources::kubernetes::objects::record::Record;
use crate::sources::kubernetes::watch::short_watches::ShortWatches;
use crate::sources::kubernetes::watch::version::Version;
use crate::timing::backoff::seeded;
use crate::timing::refresh_hints::FAR;

/// The least time between the beginnings of two watches, so that a server which ends each at once makes no loop that
/// spins.
const WATCH_GAP: Duration = Duration::from_secs(1);

/// The most objects of a kind that are kept.
const MAX_OBJECTS: usize = 100_000;

/// The most pages in a row that bring nothing new. There may be some: of a page's objects none may be meant.
const MAX_IDLE_PAGES: u32 = 100;

/// What happened to the objects, by name.
#[derive(Debug)]
pub(crate) enum Update<R> {
    Apply(String, R),
    Delete(String),
    /// These are all.
    Replace(BTreeMap<String, R>),
}

/// The objects that `query` means: all of them first, then every change.
///
/// A watch that ends goes on where it was; 410 Gone, which says that this is too long ago, is answered by a fresh list,
/// in one piece, so that nobody sees a part of it. Any other failure ends the stream.
///
/// A server whose etcd was restored from a backup is at an earlier version than the last one that is known here. It
/// accepts a watch from the known version and sends nothing until it has reached that again; what happened up to then is
/// lost. So there is also a fresh list
///
/// - when a watch brings a version below the known one,
/// - when no event and no bookmark came for the length of a watch,
/// - and every [`relist_interval`](crate::sources::kubernetes::Cluster::relist_interval), for a server that has overtaken the known version
///   meanwhile.
pub(crate) fn list_watch<R: Record>(
    session: Session,
    query: Query,
) -> BoxStream<'static, Result<Update<R>, DiscoveryError>> {
    let now = Instant::now();
    let state = ListWatch {
        session,
        query,
        version: None,
        lines: None,
        watch_began: now,
        next_watch: now,
        short: ShortWatches::new(WATCH_GAP),
        heard: now,
        next_list: now,
        rng: seeded(),
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
    version: Option<Version>,
    lines: Option<Lines>,
    watch_began: Instant,
    next_watch: Instant,
    short: ShortWatches,
    /// When the server last said how far it is.
    heard: Instant,
    /// When to list again although nothing is wrong.
    next_list: Instant,
    rng: SplitMix64,
}

impl ListWatch {
    async fn next<R: Record>(&mut self) -> Result<Update<R>, DiscoveryError> {
        loop {
            let Some(version) = &self.version else {
                return self.list().await;
            };
            let Some(lines) = &mut self.lines else {
                sleep_until(self.next_watch).await;
                if self.must_list() {
                    return self.list().await;
                }
                self.watch_began = Instant::now();
                self.next_watch = self.watch_began + WATCH_GAP;
                match self.session.watch(&self.query, version.as_str()).await {
                    Ok(lines) => self.lines = Some(lines),
                    Err(Failure::Gone) => self.forget(),
                    Err(Failure::Other(error)) => return Err(error),
                }
                continue;
            };
            let Some(line) = lines.next(&self.query).await? else {
                self.lines = None;
                self.report_short();
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
                self.advance(Some(bookmark.metadata.resource_version))?;
                return Ok(None);
            }
            WatchEvent::Error(status) => {
                return match error::of_status(&self.query.what, &status) {
                    Failure::Gone => {
                        self.forget();
                        Ok(None)
                    }
                    Failure::Other(error) => Err(error),
                };
            }
        };
        if !self.advance(object.resource_version())? {
            return Ok(None);
        }
        let name = object.name_any();
        Ok(Some(if deleted {
            Update::Delete(name)
        } else {
            Update::Apply(name, R::of(object))
        }))
    }

    fn must_list(&self) -> bool {
        let now = Instant::now();
        self.session.is_silence(now - self.heard) || now >= self.next_list
    }

    async fn list<R: Record>(&mut self) -> Result<Update<R>, DiscoveryError> {
        let (objects, version) = list(&self.session, &self.query).await?;
        if let Some(known) = &self.version {
            self.report_return(known, &version);
        }
        self.version = Some(version);
        self.heard = Instant::now();
        let interval = self.session.relist_interval();
        // Many balancers that were started together must not list together for ever.
        let spread = u64::try_from(interval.as_nanos() / 10).unwrap_or(u64::MAX);
        let spread = NonZeroU64::new(spread).map_or(0, |spread| self.rng.below(spread));
        let wait = interval.saturating_add(Duration::from_nanos(spread));
        self.next_list = self.heard + wait.min(FAR);
        Ok(Update::Replace(objects))
    }

    /// Takes the version of an event. Returns false, and has a list made, if it is below the known one.
    fn advance(&mut self, version: Option<String>) -> Result<bool, DiscoveryError> {
        let version = versioned(&self.query, version)?;
        if let Some(known) = &self.version
            && version.is_before(known)
        {
            self.report_return(known, &version);
            self.version = None;
            self.lines = None;
            return Ok(false);
        }
        self.version = Some(version);
        self.heard = Instant::now();
        Ok(true)
    }

    /// Tells if the server is at an earlier version than before, as after a restore from a backup.
    fn report_return(&self, known: &Version, now: &Version) {
        if now.is_before(known) {
            let what = &self.query.what;
            warn!(%what, %known, %now, "API server returned to an earlier version");
        }
    }

    /// Tells if watches end as soon as they are open: changes come late then, and only by lists.
    fn report_short(&mut self) {
        let brought_something = self.heard >= self.watch_began;
        let lasted = self.watch_began.elapsed();
        if let Some(watches) = self.short.ended(lasted, brought_something) {
            let what = &self.query.what;
            warn!(%what, watches, "Watches ended at once without an event: does something on the way cut them?");
        }
    }

    fn forget(&mut self) {
        debug!(what = %self.query.what, "Too old to go on from, listing again");
        self.version = None;
        self.lines = None;
    }
}

/// All objects, and what they are as of. A list that the server forgets between two pages is begun again, once.
async fn list<R: Record>(
    session: &Session,
    query: &Query,
) -> Result<(BTreeMap<String, R>, Version), DiscoveryError> {
    match pages(session, query).await {
        Err(Failure::Gone) => pages(session, query).await,
        done => done,
    }
    .map_err(|failure| failure.into_error(&query.what))
}

async fn pages<R: Record>(
    session: &Session,
    query: &Query,
) -> Result<(BTreeMap<String, R>, Version), Failure> {
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
            return Err(Failure::Other(error::unavailable(&query.what, &problem)));
        }
        token = page.metadata.continue_.filter(|token| !token.is_empty());
        if token.is_none() {
            let version = versioned(query, page.metadata.resource_version);
            return Ok((objects, version.map_err(Failure::Other)?));
        }
    }
}

/// Refuses more objects than are kept.
pub(crate) fn check_count(what: &str, count: usize) -> Result<(), DiscoveryError> {
    if count <= MAX_OBJECTS {
        return Ok(());
    }
    let problem = format!("more than {MAX_OBJECTS} objects");
    Err(error::config(what, &problem))
}

fn versioned(query: &Query, version: Option<String>) -> Result<Version, DiscoveryError> {
    Version::new(version)
        .ok_or_else(|| error::unavailable(&query.what, "an answer without a resourceVersion"))
}
