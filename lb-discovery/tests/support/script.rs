//! A source that does what a test wrote down.

#![allow(dead_code)] // every test uses its own part

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::{self, StreamExt};
use lb_core::Snapshot;
use lb_discovery::{Discovery, DiscoveryError, SnapshotStream};
use tokio::time::{Instant, sleep};

/// What one watch does.
#[derive(Clone, Debug)]
pub(crate) enum Watch {
    /// Cannot be opened.
    Fail,
    /// Answers with authority that there is nothing, and how long that holds.
    Absent(Option<Duration>),
    /// Yields sets, each after a delay, and then nothing more.
    Sets(Vec<(Duration, Snapshot)>),
    /// Yields sets, each after a delay, and ends.
    SetsThenEnd(Vec<(Duration, Snapshot)>),
    /// Yields sets, each after a delay, says that they are withdrawn if so told, and fails.
    SetsThenFail(Vec<(Duration, Snapshot)>, bool),
    /// Yields sets, says that they are withdrawn, and goes on with other sets.
    Withdrawn(Vec<(Duration, Snapshot)>, Vec<(Duration, Snapshot)>),
    /// Yields the same set without ever waiting.
    Flood(Snapshot),
    /// Cannot even be opened within any time.
    Hang,
    /// Asks to be left alone for this long.
    Throttled(Duration),
}

/// The n-th watch does what the n-th entry says; those after the last do what the last says.
#[derive(Debug)]
pub(crate) struct Script {
    watches: Mutex<VecDeque<Watch>>,
    opened: Mutex<Vec<Instant>>,
    refreshed: AtomicUsize,
}

impl Script {
    pub(crate) fn new(watches: impl IntoIterator<Item = Watch>) -> Arc<Self> {
        Arc::new(Self {
            watches: Mutex::new(watches.into_iter().collect()),
            opened: Mutex::default(),
            refreshed: AtomicUsize::new(0),
        })
    }

    pub(crate) fn opens(&self) -> usize {
        self.opened.lock().unwrap().len()
    }

    /// The times between one opening and the next.
    pub(crate) fn gaps(&self) -> Vec<Duration> {
        let opened = self.opened.lock().unwrap();
        opened.windows(2).map(|pair| pair[1] - pair[0]).collect()
    }

    pub(crate) fn refreshes(&self) -> usize {
        self.refreshed.load(Ordering::Relaxed)
    }
}

#[async_trait]
impl Discovery for Script {
    fn source(&self) -> Arc<str> {
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

pub(crate) fn no_backends() -> DiscoveryError {
    DiscoveryError::NoBackends {
        what: "asking the script".into(),
        problem: "they are withdrawn".into(),
        valid_for: Some(Duration::from_secs(5)),
    }
}

pub(crate) fn unavailable() -> DiscoveryError {
    DiscoveryError::Unavailable {
        what: "asking the script".into(),
        problem: "it says no".into(),
        source: Some("as written".into()),
    }
}
