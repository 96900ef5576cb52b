//! The task that turns sources into one set.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::future;
use std::sync::Arc;

use futures::future::join_all;
use lb_core::{Delta, Rng, Snapshot, SplitMix64};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{Level, debug, enabled, error};

use crate::driver::config::DriverConfig;
use crate::driver::state::DriverHandle;

use crate::driver::follower::Follower;
use crate::driver::state::Shared;
use crate::source::Discovery;
use crate::timing::backoff::seeded;

/// Follows sources and publishes their union.
///
/// Every source is followed on its own: its watch is opened again, after a jittered and growing delay, whenever it
/// fails or ends, and until it has brought a new set the last good one stays. The delays start over once a watch has
/// gone on after its first set for longer than the next delay may be, or for 5 s. The union keeps the order of the
/// sources and, within each, that of its backends; of several backends with one address the first counts, and a
/// primary before a backup.
///
/// # What is published when
///
/// The first set is published as soon as every source has answered, or when
/// [`initial_wait`](DriverConfig::initial_wait) is over, and it is published even if it is empty: whoever waits for
/// backends then knows that there are none rather than none yet. While there is no backend and a source has
/// failed, the wait goes on to its end, since the next attempt may succeed within it.
///
/// Later changes are gathered for [`debounce`](DriverConfig::debounce), counted from the first, and published as one
/// set. A set that equals the last published one is not published again. With a limit on staleness
/// ([`max_stale`](DriverConfig::max_stale)) the backends of a source that fails for longer are a change, too.
///
/// # What is logged
///
/// One line at level error when a source begins to fail, with its label and the reason, and again when the reason
/// changes or ten minutes are over: at most one line in five seconds for each source, except when its set becomes
/// empty. The failures in between are logged at level debug, and counted in the next line (`failures`). The end of
/// failures that were logged is logged at level info: at once, but after 5 s without a failure where a recovery within
/// the last ten minutes did not last for as long.
#[derive(Debug)]
pub struct Driver {
    sources: Vec<Arc<dyn Discovery>>,
    identities: Vec<Arc<str>>,
    config: DriverConfig,
    shared: Arc<Shared>,
}

impl Driver {
    /// A driver of `sources`, which does nothing before it is [run](Self::run), and the handle to it. A source that
    /// has [parts](Discovery::parts) counts as those. Asks each for its [identity](Discovery::identity), which may read
    /// small files.
    pub fn new(sources: Vec<Arc<dyn Discovery>>, config: DriverConfig) -> (Self, DriverHandle) {
        let sources = flatten(sources);
        let labels = sources.iter().map(|source| source.source());
        let shared = Arc::new(Shared::new(labels));
        let handle = DriverHandle::new(Arc::clone(&shared));
        let identities = sources.iter().map(|source| source.identity());
        let driver = Self {
            identities: identities.collect(),
            sources,
            config,
            shared,
        };
        (driver, handle)
    }

    /// Takes over from `old`, which followed other sources or with other settings: a source with the
    /// [identity](Discovery::identity) of one there has that one's last good set, [adapted](Discovery::adapt), until it
    /// gives one itself. If that one fails, it goes on failing since then, which [`max_stale`](DriverConfig::max_stale)
    /// counts. O(sources), without I/O.
    pub fn resume(&mut self, old: &Self) {
        let mut known: HashMap<Arc<str>, VecDeque<usize>> = HashMap::new();
        // Asked again, because a source may have followed its configuration to another place since.
        for (index, source) in old.sources.iter().enumerate() {
            known.entry(source.identity()).or_default().push_back(index);
        }
        for (index, (source, identity)) in self.sources.iter().zip(&self.identities).enumerate() {
            let same = known.get_mut(identity);
            if let Some(same) = same.and_then(VecDeque::pop_front) {
                self.shared.inherit(index, source, &old.shared, same);
            }
        }
    }

    /// Follows the sources until `cancel` is cancelled; then returns at once and closes every watch.
    ///
    /// May be run again. It then goes on with what each source gave last, which is published first.
    ///
    /// `sink` receives each published set. It is called on the driver's task, so it should be short. The future
    /// needs a tokio runtime with time enabled; what the sources need besides is theirs to say.
    pub async fn run(&mut self, sink: impl FnMut(Snapshot), cancel: CancellationToken) {
        let Self {
            sources,
            config,
            shared,
            identities: _,
        } = self;
        let seed = config.seed.unwrap_or_else(|| seeded().next_u64());
        let followers = (0_u64..).zip(&*sources).map(|(number, source)| Follower {
            index: number as usize,
            source,
            shared,
            config,
            rng: SplitMix64::new(seed.wrapping_add(number)),
        });
        let follow = join_all(followers.map(Follower::run));
        tokio::select! {
            biased;
            () = cancel.cancelled() => {}
            never = publish(shared, config, sink) => match never {},
            // With no source at all this ends at once, which ends nothing else.
            _ = async { (follow.await, future::pending::<()>().await) } => {}
        }
    }
}

/// The sources that are followed each by itself.
fn flatten(sources: Vec<Arc<dyn Discovery>>) -> Vec<Arc<dyn Discovery>> {
    let parts = sources.into_iter().map(|source| match source.parts() {
        Some(parts) => flatten(parts),
        None => vec![source],
    });
    parts.flatten().collect()
}

/// Hands every new union to `sink`.
async fn publish(
    shared: &Shared,
    config: &DriverConfig,
    mut sink: impl FnMut(Snapshot),
) -> Infallible {
    let deadline = sleep(config.initial_wait);
    tokio::pin!(deadline);
    while !shared.is_complete() {
        tokio::select! {
            () = changed(shared, config) => {}
            () = &mut deadline => break,
        }
    }
    let mut published = shared.union();
    log_change(&Snapshot::default(), &published);
    sink(published.clone());
    loop {
        changed(shared, config).await;
        sleep(config.debounce).await;
        let union = shared.union();
        if union != published {
            log_change(&published, &union);
            sink(union.clone());
            published = union;
        }
    }
}

/// Waits until a source has changed, or until a set was not confirmed for too long and is dropped.
async fn changed(shared: &Shared, config: &DriverConfig) {
    let Some(max_stale) = config.max_stale else {
        return shared.changed().await;
    };
    let expiry = shared.next_expiry(max_stale);
    tokio::select! {
        () = shared.changed() => {}
        () = sleep_until(expiry.unwrap_or_else(Instant::now)), if expiry.is_some() => {}
    }
    for source in shared.expire(max_stale) {
        error!(%source, ?max_stale, "Source failed for too long, dropping its last set");
    }
}

fn log_change(old: &Snapshot, new: &Snapshot) {
    if !enabled!(Level::DEBUG) {
        return;
    }
    let delta = Delta::between(old, new);
    debug!(
        backends = new.len(),
        added = delta.added.len(),
        changed = delta.changed.len(),
        removed = delta.removed.len(),
        "Published backends"
    );
}
