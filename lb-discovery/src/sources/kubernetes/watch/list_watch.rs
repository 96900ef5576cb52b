//! The objects of one kind: a list, then its changes.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::time::Duration;

use futures::stream::{self, BoxStream, StreamExt};
use kube::core::WatchEvent;
use lb_core::{Rng, SplitMix64};
use tokio::time::{Instant, sleep_until};
use tracing::{debug, warn};

use crate::error::DiscoveryError;
use crate::sources::kubernetes::api::api_client::{ApiClient, EventLines, Query, garbage};
use crate::sources::kubernetes::error::{self, ApiError};
use crate::sources::kubernetes::objects::projection::{Projection, WireObject};
use crate::sources::kubernetes::watch::short_watches::ShortWatches;
use crate::sources::kubernetes::watch::version::Version;
use crate::timing::backoff::seeded;
use crate::timing::refresh_hints::FAR;

/// The minimum time between the starts of two watches: a server that ends each at once must not make the loop spin.
const WATCH_GAP: Duration = Duration::from_secs(1);

/// The maximum number of objects of a kind.
const MAX_OBJECTS: usize = 100_000;

/// The maximum number of consecutive pages without a new object. Some are normal: the selector may match none of a
/// page's objects.
const MAX_IDLE_PAGES: u32 = 100;

/// A change of the objects, by name.
#[derive(Debug)]
pub(crate) enum Update<R> {
    Apply(String, R),
    Delete(String),
    /// All objects.
    Replace(BTreeMap<String, R>),
}

/// The objects that `query` selects: all of them first, then every change.
///
/// A watch that ends is resumed at the last version. After 410 Gone (the server has compacted that version) the objects
/// are listed again, and the stream yields the complete list as one update. Any other failure ends the stream.
///
/// A server restored from a backup of etcd is at an earlier version than the last known one. It accepts a watch
/// from the known version and sends nothing until it has reached that version again; the changes up to then are lost. So
/// the objects are also listed again
///
/// - when a watch yields a version below the known one,
/// - when no event and no bookmark arrived for the length of a watch,
/// - and every `relist_interval`, for a server that has overtaken the known version in the meantime.
pub(crate) fn list_watch<R: Projection>(
    api: ApiClient,
    query: Query,
) -> BoxStream<'static, Result<Update<R>, DiscoveryError>> {
    let now = Instant::now();
    let state = ListWatch {
        api,
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
    api: ApiClient,
    query: Query,
    /// The version of the objects. `None` if they must be listed.
    version: Option<Version>,
    lines: Option<EventLines>,
    watch_began: Instant,
    next_watch: Instant,
    short: ShortWatches,
    /// When the server last sent a version.
    heard: Instant,
    /// When to list again without another reason.
    next_list: Instant,
    rng: SplitMix64,
}

impl ListWatch {
    async fn next<R: Projection>(&mut self) -> Result<Update<R>, DiscoveryError> {
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
                match self.api.watch(&self.query, version.as_str()).await {
                    Ok(lines) => self.lines = Some(lines),
                    Err(ApiError::Gone) => self.forget(),
                    Err(ApiError::Other(error)) => return Err(error),
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

    fn take<R: Projection>(
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
                    ApiError::Gone => {
                        self.forget();
                        Ok(None)
                    }
                    ApiError::Other(error) => Err(error),
                };
            }
        };
        if !self.advance(object.version())? {
            return Ok(None);
        }
        let name = object.key();
        Ok(Some(if deleted {
            Update::Delete(name)
        } else {
            Update::Apply(name, R::of(object))
        }))
    }

    fn must_list(&self) -> bool {
        let now = Instant::now();
        self.api.is_silence(now - self.heard) || now >= self.next_list
    }

    async fn list<R: Projection>(&mut self) -> Result<Update<R>, DiscoveryError> {
        let (objects, version) = list(&self.api, &self.query).await?;
        if let Some(known) = &self.version {
            self.report_rollback(known, &version);
        }
        self.version = Some(version);
        self.heard = Instant::now();
        let interval = self.api.relist_interval();
        // Balancers that were started together must not stay synchronised.
        let spread = u64::try_from(interval.as_nanos() / 10).unwrap_or(u64::MAX);
        let spread = NonZeroU64::new(spread).map_or(0, |spread| self.rng.below(spread));
        let wait = interval.saturating_add(Duration::from_nanos(spread));
        self.next_list = self.heard + wait.min(FAR);
        Ok(Update::Replace(objects))
    }

    /// Records the version of an event. Returns false if it is below the known one, so that the objects are listed again.
    fn advance(&mut self, version: Option<String>) -> Result<bool, DiscoveryError> {
        let version = versioned(&self.query, version)?;
        if let Some(known) = &self.version
            && version.is_before(known)
        {
            self.report_rollback(known, &version);
            self.version = None;
            self.lines = None;
            return Ok(false);
        }
        self.version = Some(version);
        self.heard = Instant::now();
        Ok(true)
    }

    /// Logs that the server is at an earlier version than before, as after a restore from a backup.
    fn report_rollback(&self, known: &Version, now: &Version) {
        if now.is_before(known) {
            let what = &self.query.what;
            warn!(%what, %known, %now, "API server returned to an earlier version");
        }
    }

    /// Logs that watches end as soon as they are open: then changes arrive late, and only by lists.
    fn report_short(&mut self) {
        let had_event = self.heard >= self.watch_began;
        let lasted = self.watch_began.elapsed();
        if let Some(watches) = self.short.ended(lasted, had_event) {
            let what = &self.query.what;
            warn!(%what, watches, "Watches closed early without events: a proxy on the way may cut them");
        }
    }

    fn forget(&mut self) {
        debug!(what = %self.query.what, "Version expired, listing again");
        self.version = None;
        self.lines = None;
    }
}

/// All objects, and their version. A list is restarted, once, if the server drops its version between two pages.
async fn list<R: Projection>(
    api: &ApiClient,
    query: &Query,
) -> Result<(BTreeMap<String, R>, Version), DiscoveryError> {
    match pages(api, query).await {
        Err(ApiError::Gone) => pages(api, query).await,
        done => done,
    }
    .map_err(|failure| failure.into_error(&query.what))
}

async fn pages<R: Projection>(
    api: &ApiClient,
    query: &Query,
) -> Result<(BTreeMap<String, R>, Version), ApiError> {
    let mut objects = BTreeMap::new();
    let mut token = None;
    let mut idle = 0;
    loop {
        let page = api.page::<R::Object>(query, token).await?;
        let known = objects.len();
        let named = page.items.into_iter().map(|o| (o.key(), R::of(o)));
        objects.extend(named);
        check_count(&query.what, objects.len()).map_err(ApiError::Other)?;
        idle = if objects.len() > known { 0 } else { idle + 1 };
        if idle > MAX_IDLE_PAGES {
            let problem = format!("{idle} pages in a row without a new object, and no end");
            return Err(ApiError::Other(error::unavailable(&query.what, &problem)));
        }
        token = page.metadata.continue_.filter(|token| !token.is_empty());
        if token.is_none() {
            let version = versioned(query, page.metadata.resource_version);
            return Ok((objects, version.map_err(ApiError::Other)?));
        }
    }
}

/// Fails if there are more objects than [`MAX_OBJECTS`].
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
