//! The task that turns sources into one set.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::future;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use lb_core::{Rng, Snapshot, SplitMix64, stable_hash};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error};

use crate::caught::caught;
use crate::driver::config::DriverConfig;
use crate::driver::follower::Follower;
use crate::driver::handle::DriverHandle;
use crate::driver::last_set::LastSet;
use crate::driver::state::DriverState;
use crate::source::Source;
use crate::timing::backoff::seeded;

/// Follows sources and publishes their union.
///
/// The driver follows every source independently. When a watch fails or ends, the driver opens it again after a
/// jittered and growing delay; until the source yields a new set its last good one stays. The delays start over once a
/// watch has continued after its first set for longer than the next delay may be, or for 5 s. The union keeps the order
/// of the sources and, within each, that of its backends. Of several backends with one address the one in the most
/// preferred tier counts and, within a tier, the first.
///
/// A panic in the code of a source is a failure like any other: its last good set stays, its watch is opened again after
/// the delay, and the other sources are followed meanwhile. It is logged with the source's label, and counted apart in
/// [`SourceStatus::panics`](crate::SourceStatus::panics). (A program that is compiled with `panic = "abort"` ends instead.)
///
/// # What is published when
///
/// The driver publishes the first set as soon as every source has answered, or when
/// [`initial_wait`](DriverConfig::initial_wait) is over, even if the set is empty: connections that wait for backends
/// can then fail instead of waiting for an answer. While there is no backend and a source has failed, the driver waits
/// to the end of that time, because the next attempt may succeed within it.
///
/// The driver gathers later changes for [`debounce`](DriverConfig::debounce), counted from the first, and publishes them
/// as one set. It does not publish a set that equals the last published one. With a limit on staleness
/// ([`max_stale`](DriverConfig::max_stale)), dropping the set of a source that fails for longer is a change, too.
///
/// # What is logged
///
/// One line at level error when a source begins to fail, with its label and the reason, and again when the reason
/// changes or ten minutes are over: at most one line in five seconds for each source, except when its set becomes
/// empty. The failures in between are logged at level debug and counted in the next line (`failures`). The end of
/// failures that were logged is logged at level info: at once, but after 5 s without a failure where a recovery within
/// the last ten minutes lasted for less. Each published set is logged at level debug, with its number of backends;
/// [`Delta::between`](lb_core::Delta::between) computes what changed.
#[derive(Debug)]
pub struct Driver {
    sources: Arc<[Arc<dyn Source>]>,
    identities: Vec<Arc<str>>,
    config: DriverConfig,
    state: Arc<DriverState>,
}

impl Driver {
    /// Makes a driver of `sources`, and the handle to it. The driver does nothing before it is [run](Self::run).
    ///
    /// A source that has [parts](Source::parts) counts as those. Asks each source for its
    /// [identity](Source::identity), which may read small files.
    ///
    /// # Panics
    ///
    /// If a source panics when it is asked for its parts, its label or its identity. A panic later on is a failure of that
    /// source.
    pub fn new(sources: Vec<Arc<dyn Source>>, config: DriverConfig) -> (Self, DriverHandle) {
        let sources: Arc<[_]> = flatten(sources).into();
        let labels = sources.iter().map(|source| source.label());
        let state = Arc::new(DriverState::new(labels));
        let handle = DriverHandle::new(Arc::clone(&state), Arc::clone(&sources));
        let identities = sources.iter().map(|source| source.identity());
        let driver = Self {
            identities: identities.collect(),
            sources,
            config,
            state,
        };
        (driver, handle)
    }

    /// Takes over the last good sets of `old`, which followed other sources or had other settings.
    ///
    /// A source here that has the [identity](Source::identity) of a source there begins with the last good set of that
    /// one, [adapted](Source::adapt), until it yields a set itself. If that one fails, the source here counts as failing
    /// since the same time, which [`max_stale`](DriverConfig::max_stale) limits. Its numbers of failures and updates go on
    /// from those of the source there, unless it has counted some itself. O(sources), without I/O.
    pub fn resume(&mut self, old: &Self) {
        let mut known: HashMap<Arc<str>, VecDeque<usize>> = HashMap::new();
        // Asked again: the identity of a source changes when its configuration leads to another destination.
        for (index, source) in old.sources.iter().enumerate() {
            let identity = caught(&old.state.label(index), || source.identity());
            if let Some(identity) = identity {
                known.entry(identity).or_default().push_back(index);
            }
        }
        for (index, (source, identity)) in self.sources.iter().zip(&self.identities).enumerate() {
            let same = known.get_mut(identity);
            if let Some(same) = same.and_then(VecDeque::pop_front) {
                let label = self.state.label(index);
                caught(&label, || {
                    self.state.inherit(index, source, &old.state, same)
                });
            }
        }
    }

    /// Lets sources begin with the sets of another process: each source that has no set yet begins with the set of its
    /// [identity](Source::identity), [adapted](Source::adapt), until it yields a set itself. Returns which sets were taken, in the
    /// order of `sets`.
    ///
    /// Such a source counts as one that has answered: the first publication does not wait for it. A set that is older than
    /// [`max_stale`](DriverConfig::max_stale) is not taken. If the source fails, the age of the set counts for `max_stale`.
    /// O(sources + sets), without I/O.
    pub fn begin_with(&mut self, sets: &[LastSet]) -> Vec<bool> {
        let mut known: HashMap<u64, VecDeque<usize>> = HashMap::new();
        for (index, identity) in self.identities.iter().enumerate() {
            let identity = stable_hash(identity.as_bytes());
            known.entry(identity).or_default().push_back(index);
        }
        let max_stale = self.config.max_stale.unwrap_or(Duration::MAX);
        let taken = sets.iter().map(|set| {
            let same = known.get_mut(&set.identity);
            let index = same.and_then(VecDeque::pop_front);
            let index = index.filter(|_| set.age < max_stale);
            index.is_some_and(|index| {
                let begin = || self.state.begin_with(index, &*self.sources[index], set);
                caught(&self.state.label(index), begin).is_some()
            })
        });
        taken.collect()
    }

    /// Follows the sources until `cancel` is cancelled; then returns at once and closes every watch.
    ///
    /// May be run again. It then continues with the last set of each source, and publishes these first.
    ///
    /// `sink` receives each published set. The driver's task calls it, so it should return quickly. Needs a tokio
    /// runtime with time enabled, and what the documentation of the sources says.
    ///
    /// # Panics
    ///
    /// If `sink` panics, or the comparison of a backend's [data](lb_core::Backend::with_compared_data). The sets of the sources stay:
    /// a driver that is run again publishes them.
    pub async fn run(&mut self, sink: impl FnMut(Snapshot), cancel: CancellationToken) {
        let Self {
            sources,
            config,
            state,
            identities: _,
        } = self;
        let seed = config.seed.unwrap_or_else(|| seeded().next_u64());
        let followers = (0_u64..)
            .zip(sources.iter())
            .map(|(number, source)| Follower {
                index: number as usize,
                source,
                state,
                config,
                rng: SplitMix64::new(seed.wrapping_add(number)),
            });
        let follow = join_all(followers.map(Follower::run));
        tokio::select! {
            biased;
            () = cancel.cancelled() => {}
            never = publish(state, config, sink) => match never {},
            // Without sources `follow` ends at once, which must not end the driver.
            _ = async { (follow.await, future::pending::<()>().await) } => {}
        }
    }
}

/// The sources that the driver follows, with [parts](Source::parts) in the place of the sources that have them.
fn flatten(sources: Vec<Arc<dyn Source>>) -> Vec<Arc<dyn Source>> {
    let parts = sources.into_iter().map(|source| match source.parts() {
        Some(parts) => flatten(parts),
        None => vec![source],
    });
    parts.flatten().collect()
}

/// Passes every new union to `sink`.
async fn publish(
    state: &DriverState,
    config: &DriverConfig,
    mut sink: impl FnMut(Snapshot),
) -> Infallible {
    let deadline = sleep(config.initial_wait);
    tokio::pin!(deadline);
    while !state.is_complete() {
        tokio::select! {
            () = changed(state, config) => {}
            () = &mut deadline => break,
        }
    }
    let mut published = None;
    loop {
        let union = state.union();
        if published.as_ref() != Some(&union) {
            debug!(backends = union.len(), "Snapshot published");
            sink(union.clone());
            published = Some(union);
        }
        changed(state, config).await;
        sleep(config.debounce).await;
    }
}

/// Waits until a source has changed, or until a set is stale for too long, and drops that.
async fn changed(state: &DriverState, config: &DriverConfig) {
    let Some(max_stale) = config.max_stale else {
        return state.changed().await;
    };
    let expiry = state.next_expiry(max_stale);
    tokio::select! {
        () = state.changed() => {}
        () = sleep_until(expiry.unwrap_or_else(Instant::now)), if expiry.is_some() => {}
    }
    for source in state.expire(max_stale) {
        error!(%source, ?max_stale, "Stale set dropped");
    }
}
