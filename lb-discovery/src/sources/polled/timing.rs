//! The time of the next lookup.

use std::num::NonZeroU64;
use std::time::Duration;

use lb_core::Rng;

use crate::timing::refresh_hints::FAR;

/// How often a source is polled.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PollTiming {
    pub(crate) interval: Duration,
    pub(crate) jitter: Duration,
    pub(crate) min_ttl: Duration,
    pub(crate) max_ttl: Duration,
}

impl PollTiming {
    /// The minimum of `min_ttl`.
    pub(crate) const FLOOR: Duration = Duration::from_millis(10);

    /// The time to the next lookup after an answer that holds for `valid_for`.
    pub(crate) fn wait(&self, valid_for: Option<Duration>, rng: &mut impl Rng) -> Duration {
        let wait = valid_for
            .map_or(self.interval, |valid_for| valid_for.min(self.max_ttl))
            .clamp(self.min_ttl, FAR.max(self.min_ttl));
        let most = u64::try_from(self.jitter.min(wait / 10).as_nanos()).unwrap_or(u64::MAX);
        let drawn = NonZeroU64::new(most).map_or(0, |most| rng.below(most));
        wait.saturating_add(Duration::from_nanos(drawn))
    }
}
