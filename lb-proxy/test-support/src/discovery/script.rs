//! A source that follows a script.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::{self, StreamExt};
use lb_core::Snapshot;
use lb_discovery::{DiscoveryError, SnapshotStream, Source};
use tokio::time::{Instant, sleep};

/// The behaviour of one watch.
#[derive(Clone, Debug)]
pub enum Watch {
    /// Fails to open.
    Fail,
    /// Answers with authority that no such thing exists, and how long the answer is valid.
    Absent(Option<Duration>),
    /// Yields sets, each after a delay, and then stays open.
    Sets(Vec<(Duration, Snapshot)>),
    /// Yields sets, each after a delay, and ends.
    SetsThenEnd(Vec<(Duration, Snapshot)>),
    /// Yields sets, each after a delay, withdraws them if the flag is set, and fails.
    SetsThenFail(Vec<(Duration, Snapshot)>, bool),
    /// Yields sets, withdraws them, and continues with other sets.
    Withdrawn(Vec<(Duration, Snapshot)>, Vec<(Duration, Snapshot)>),
    /// Yields the same set again and again without a pause.
    Flood(Snapshot),
    /// Never opens and never fails.
    Hang,
    /// Asks the driver not to retry for this long.
    Throttled(Duration),
}

/// The n-th watch follows the n-th entry of the script; watches after the last entry repeat it.
#[derive(Debug)]
pub struct Script {
    watches: Mutex<VecDeque<Watch>>,
    opened: Mutex<Vec<Instant>>,
    refreshed: AtomicUsize,
}

impl Script {
    /// A source with this script.
    pub fn new(watches: impl IntoIterator<Item = Watch>) -> Arc<Self> {
        Arc::new(Self {
            watches: Mutex::new(watches.into_iter().collect()),
            opened: Mutex::default(),
            refreshed: AtomicUsize::new(0),
        })
    }

    /// The number of watches opened.
    pub fn opens(&self) -> usize {
        self.opened.lock().unwrap().len()
    }

    /// The times between one opening and the next.
    pub fn gaps(&self) -> Vec<Duration> {
        let opened = self.opened.lock().unwrap();
        opened.windows(2).map(|pair| pair[1] - pair[0]).collect()
    }

    /// The number of calls of `refresh`.
    pub fn refreshes(&self) -> usize {
        self.refreshed.load(Ordering::Relaxed)
    }
}

#[async_trait]
impl Source for Script {
    fn label(&self) -> Arc<str> {
        "script".into()
    }

    async fn watch(&self) -> Result<SnapshotStream, DiscoveryError> {
        self.opened.lock().unwrap().push(Instant::now());
        let watch = {
            let mut watches = self.watches.lock().unwrap();
            if watches.len() > 1 {
                watches.pop_front()
            } else {
                watches.front().cloned()
            }
        };
        let timed = |sets: Vec<(Duration, Snapshot)>| {
            stream::iter(sets).then(|(delay, set)| async move {
                sleep(delay).await;
                Ok(set)
            })
        };
        match watch.expect("a script has a watch") {
            Watch::Fail => Err(unavailable()),
            Watch::Absent(valid_for) => Err(DiscoveryError::NotFound {
                what: "asking the script".into(),
                problem: "it knows no such thing".into(),
                valid_for,
            }),
            Watch::Sets(sets) => Ok(timed(sets).chain(stream::pending()).boxed()),
            Watch::SetsThenEnd(sets) => Ok(timed(sets).boxed()),
            Watch::SetsThenFail(sets, withdrawn) => {
                let withdrawn = withdrawn.then(no_backends);
                let errors = withdrawn.into_iter().chain([unavailable()]);
                Ok(timed(sets).chain(stream::iter(errors.map(Err))).boxed())
            }
            Watch::Withdrawn(before, after) => {
                let withdrawn = stream::once(async { Err(no_backends()) });
                let items = timed(before).chain(withdrawn).chain(timed(after));
                Ok(items.chain(stream::pending()).boxed())
            }
            Watch::Flood(set) => Ok(stream::repeat_with(move || Ok(set.clone())).boxed()),
            Watch::Hang => std::future::pending().await,
            Watch::Throttled(retry_after) => Err(DiscoveryError::Throttled {
                what: "asking the script".into(),
                problem: "it is busy".into(),
                retry_after,
            }),
        }
    }

    fn refresh(&self) {
        self.refreshed.fetch_add(1, Ordering::Relaxed);
    }
}

/// The error of a source that withdraws its backends, valid for 5 s.
pub fn no_backends() -> DiscoveryError {
    DiscoveryError::NoBackends {
        what: "asking the script".into(),
        problem: "they are withdrawn".into(),
        valid_for: Some(Duration::from_secs(5)),
    }
}

/// The error of a source that cannot be reached.
pub fn unavailable() -> DiscoveryError {
    DiscoveryError::Unavailable {
        what: "asking the script".into(),
        problem: "it says no".into(),
        source: Some("as written".into()),
    }
}
