//! Deadlines: how a test waits for a state without a sleep of a fixed length.
//!
//! A deadline is far longer than a busy machine needs. A test reaches it only when something is broken.

use std::future::Future;
use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};

/// How long a state may take to come about.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// Awaits `future`.
///
/// # Panics
///
/// If it takes longer than [`DEADLINE`], with `what` in the message. Under tokio's paused time the deadline passes as
/// soon as nothing else can run.
pub async fn within<F: Future>(what: &str, future: F) -> F::Output {
    timeout(DEADLINE, future)
        .await
        .unwrap_or_else(|_| panic!("{what} took too long"))
}

/// Polls `condition` until it holds, for states that no event announces.
///
/// # Panics
///
/// If `condition` does not hold within [`DEADLINE`] of real time, with `what` in the message. Tokio's paused time
/// advances meanwhile as far as it takes.
pub async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < DEADLINE, "{what} took too long");
        sleep(Duration::from_millis(2)).await;
    }
}

/// [`eventually`] for states that only a request shows: polls `condition` until it returns true.
///
/// # Panics
///
/// If that takes longer than [`DEADLINE`], with `what` in the message.
pub async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    within(what, async {
        while !condition().await {
            sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

/// Milliseconds.
pub const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Seconds.
pub const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}
