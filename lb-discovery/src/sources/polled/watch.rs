//! The watch of a polled source.

use std::sync::Arc;

use lb_core::{Snapshot, SplitMix64};
use tokio::time::{Instant, sleep_until};

use crate::error::DiscoveryError;
use crate::sources::polled::lookup::Lookup;
use crate::sources::polled::timing::PollTiming;
use crate::timing::refresh_hints::{FAR, RefreshHints};

/// One open watch.
pub(crate) struct PollWatch<L> {
    pub(crate) lookup: Arc<L>,
    pub(crate) hints: RefreshHints,
    pub(crate) timing: PollTiming,
    pub(crate) rng: SplitMix64,
    pub(crate) next: Option<Instant>,
}

impl<L: Lookup> PollWatch<L> {
    /// The next item. Ends the watch after an error.
    pub(crate) async fn step(
        watch: Option<Self>,
    ) -> Option<(Result<Snapshot, DiscoveryError>, Option<Self>)> {
        let mut watch = watch?;
        if let Some(next) = watch.next {
            tokio::select! {
                () = sleep_until(next) => {}
                () = watch.hints.next() => {}
            }
        }
        watch.hints.clear();
        let item = watch.lookup.lookup().await;
        watch.hints.hold_off();
        match item {
            Ok(resolved) => {
                // Counted from the answer, not from the moment when the consumer polls for the next item.
                let wait = watch.timing.wait(resolved.valid_for, &mut watch.rng);
                watch.next = Some(Instant::now() + wait.min(FAR));
                Some((Ok(resolved.snapshot), Some(watch)))
            }
            Err(error) => Some((Err(error), None)),
        }
    }
}
