//! Polled sources.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use lb_core::Snapshot;
use lb_discovery::{DiscoveryError, Lookup, Polled, Resolved, Source};
use tokio::time::{Instant, sleep};

use crate::{ms, secs};
use test_support::discovery::{backend, unavailable};

/// Answers with the given validities in turn, then always with the last one; each lookup takes some time.
#[derive(Debug)]
struct Timed {
    valid_for: Mutex<VecDeque<Option<Duration>>>,
    takes: Duration,
    asked: AtomicUsize,
    fails_after: usize,
}

impl Timed {
    fn new(valid_for: impl IntoIterator<Item = Option<Duration>>) -> Self {
        Self {
            valid_for: Mutex::new(valid_for.into_iter().collect()),
            takes: Duration::ZERO,
            asked: AtomicUsize::new(0),
            fails_after: usize::MAX,
        }
    }
}

#[async_trait]
impl Lookup for Timed {
    fn label(&self) -> Arc<str> {
        "timed".into()
    }

    async fn lookup(&self) -> Result<Resolved, DiscoveryError> {
        sleep(self.takes).await;
        let asked = self.asked.fetch_add(1, Ordering::Relaxed);
        if asked >= self.fails_after {
            return Err(unavailable());
        }
        let mut valid_for = self.valid_for.lock().unwrap();
        let valid_for = if valid_for.len() > 1 {
            valid_for.pop_front().unwrap()
        } else {
            valid_for[0]
        };
        let snapshot = Snapshot::from_backends([backend(asked as u16)]);
        Ok(Resolved::new(snapshot, valid_for))
    }
}

/// A polled source without jitter.
fn steady(lookup: Timed) -> Polled<Timed> {
    Polled::new(lookup).jitter(Duration::ZERO)
}

/// The times between the first items of a watch.
async fn gaps(source: &dyn Source, count: usize) -> Vec<Duration> {
    let mut sets = source.watch().await.unwrap();
    let mut gaps = Vec::new();
    sets.next().await.unwrap().unwrap();
    for _ in 0..count {
        let last = Instant::now();
        sets.next().await.unwrap().unwrap();
        gaps.push(last.elapsed());
    }
    gaps
}

#[tokio::test(start_paused = true)]
async fn polls_again_when_the_answer_runs_out_within_bounds() {
    let validities = [
        Some(secs(7)),
        Some(Duration::ZERO),
        Some(ms(1)),
        Some(secs(86_400)),
        Some(Duration::MAX),
        None,
    ];
    let source = steady(Timed::new(validities));
    let seen = gaps(&source, 6).await;
    let expected = [secs(7), secs(1), secs(1), secs(300), secs(300), secs(10)];
    assert_eq!(seen, expected);

    let source = steady(Timed::new(validities))
        .interval(secs(3))
        .min_ttl(secs(2))
        .max_ttl(secs(60));
    let seen = gaps(&source, 6).await;
    let expected = [secs(7), secs(2), secs(2), secs(60), secs(60), secs(3)];
    assert_eq!(seen, expected);
}

#[tokio::test(start_paused = true)]
async fn waits_are_spread_within_bounds() {
    for (valid_for, jitter, most) in [
        (secs(1), None, ms(100)),
        (secs(60), None, ms(500)),
        (secs(60), Some(secs(100)), secs(6)),
    ] {
        let mut source = Polled::new(Timed::new([Some(valid_for)]));
        if let Some(jitter) = jitter {
            source = source.jitter(jitter);
        }
        let seen = gaps(&source, 20).await;
        let bounds = valid_for..=valid_for + most + ms(1); // timers fire up to a millisecond late
        assert!(seen.iter().all(|gap| bounds.contains(gap)), "{seen:?}");
        let spread = *seen.iter().max().unwrap() - *seen.iter().min().unwrap();
        assert!(spread > most / 4, "{seen:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn no_configuration_makes_polling_spin() {
    let source = steady(Timed::new([Some(Duration::ZERO)]))
        .min_ttl(Duration::ZERO)
        .max_ttl(Duration::ZERO)
        .interval(Duration::ZERO);
    assert_eq!(gaps(&source, 3).await, [ms(10); 3]);
}

#[tokio::test(start_paused = true)]
async fn an_answer_ages_while_the_consumer_does_not_poll() {
    let source = steady(Timed::new([Some(secs(10))]));
    let mut sets = source.watch().await.unwrap();
    sets.next().await.unwrap().unwrap();
    sleep(secs(8)).await;
    let waited = Instant::now();
    sets.next().await.unwrap().unwrap();
    assert_eq!(waited.elapsed(), secs(2));
}

#[tokio::test(start_paused = true)]
async fn a_hint_makes_every_watch_look_again() {
    let source = steady(Timed::new([Some(secs(300))]));
    let mut one = source.watch().await.unwrap();
    let mut two = source.watch().await.unwrap();
    one.next().await.unwrap().unwrap();
    two.next().await.unwrap().unwrap();
    sleep(secs(20)).await;
    let hinted = Instant::now();
    source.refresh();
    one.next().await.unwrap().unwrap();
    two.next().await.unwrap().unwrap();
    assert_eq!(hinted.elapsed(), Duration::ZERO);
    // The hint caused one lookup.
    one.next().await.unwrap().unwrap();
    assert_eq!(hinted.elapsed(), secs(300));
}

#[tokio::test(start_paused = true)]
async fn hints_to_a_polled_source_are_limited_in_rate() {
    let source = Arc::new(steady(Timed::new([Some(secs(300))])));
    let hinting = tokio::spawn({
        let source = Arc::clone(&source);
        async move {
            loop {
                source.refresh();
                sleep(ms(3)).await;
            }
        }
    });
    let seen = gaps(&source, 5).await;
    assert!(seen.iter().all(|gap| *gap >= secs(1)), "{seen:?}");
    assert!(seen.iter().all(|gap| *gap <= ms(1010)), "{seen:?}");
    hinting.abort();
}

#[tokio::test(start_paused = true)]
async fn a_hint_during_a_lookup_brings_another() {
    let lookup = Timed {
        takes: ms(100),
        ..Timed::new([Some(secs(300))])
    };
    let source = steady(lookup);
    let mut sets = source.watch().await.unwrap();
    let (first, ()) = tokio::join!(sets.next(), async {
        sleep(ms(50)).await;
        source.refresh();
    });
    first.unwrap().unwrap();
    let looked = Instant::now();
    sets.next().await.unwrap().unwrap();
    assert_eq!(looked.elapsed(), ms(1100));
}

#[tokio::test(start_paused = true)]
async fn a_failed_lookup_ends_the_watch() {
    let lookup = Timed {
        fails_after: 1,
        ..Timed::new([Some(secs(1))])
    };
    let source = steady(lookup);
    assert_eq!(&*source.label(), "timed");
    let mut sets = source.watch().await.unwrap();
    sets.next().await.unwrap().unwrap();
    let error = sets.next().await.unwrap().unwrap_err();
    assert_eq!(error.to_string(), "asking the script: it says no");
    assert!(sets.next().await.is_none());
}
