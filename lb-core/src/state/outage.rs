//! An outage of the path from this machine to all backends: its settings, and what is known of the current one.
//!
//! Where a pick finds no backend, [`membership::trial`](crate::membership::trial) looks for one.

use std::time::Duration;

use crate::sync::atomic::{AtomicU64, Ordering::Relaxed};
use crate::time::Timestamp;

/// When failures of all backends are blamed on the path to them, and how often it is tried.
///
/// nginx ejects a server for its `fail_timeout` whatever the reason was. With this setting a balancer whose link, address or
/// route was gone forgives its backends as soon as one of them answers. It concerns failures that
/// [`Pick::unanswered`](crate::Pick::unanswered) reports: a backend that refuses connections is ejected as without it.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CommonOutage {
    /// The longest time from the first to the last of the ejections of one outage. Default: 10 s.
    #[cfg_attr(feature = "serde", serde(with = "crate::serde_form::DurationForm"))]
    pub window: Duration,
    /// The time between two trials. It bounds the connections that are sent to backends that may be dead. Default: 100 ms.
    #[cfg_attr(feature = "serde", serde(with = "crate::serde_form::DurationForm"))]
    pub trial_interval: Duration,
}

impl Default for CommonOutage {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(10),
            trial_interval: Duration::from_millis(100),
        }
    }
}

impl CommonOutage {
    /// Sets [`window`](field@Self::window).
    #[must_use]
    pub const fn window(mut self, window: Duration) -> Self {
        self.window = window;
        self
    }

    /// Sets [`trial_interval`](field@Self::trial_interval).
    #[must_use]
    pub const fn trial_interval(mut self, interval: Duration) -> Self {
        self.trial_interval = interval;
        self
    }
}

/// Ejections that ended before their time, because an outage caused them.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ForgivenEjections {
    /// How many backends are eligible again.
    pub backends: u32,
    /// How long the outage lasted, to 1 ms: from the first ejection to the first answer. Zero if the balancer did not
    /// notice it.
    pub outage: Duration,
}

/// The current outage.
///
/// Relaxed accesses suffice: each word agrees with itself, and a pick that reads an old value is refused, or has a trial,
/// once more. A failure that is counted in the nanoseconds in which its outage ends may eject its backend as in nginx.
#[derive(Debug)]
pub(crate) struct Outage {
    /// When it began, in nanoseconds; 0 without one.
    since: AtomicU64,
    /// When the last trial was picked.
    tried_at: AtomicU64,
    /// When the last outage ended; 0 without one.
    ended_at: AtomicU64,
    /// What [`take_forgiven`](Self::take_forgiven) returns: 24 bits for the backends, 40 for milliseconds.
    forgiven: AtomicU64,
}

const MILLIS: u64 = (1 << 40) - 1;

impl Outage {
    pub(crate) fn new() -> Self {
        Self {
            since: AtomicU64::new(0),
            tried_at: AtomicU64::new(0),
            ended_at: AtomicU64::new(0),
            forgiven: AtomicU64::new(0),
        }
    }

    /// When it began, if there is one.
    pub(crate) fn since(&self) -> Option<Timestamp> {
        let since = self.since.load(Relaxed);
        (since != 0).then(|| Timestamp::from_nanos(since))
    }

    /// Whether an outage has ended at `picked_at` or later.
    pub(crate) fn is_over_since(&self, picked_at: Timestamp) -> bool {
        let ended_at = self.ended_at.load(Relaxed);
        ended_at != 0 && picked_at.as_nanos() <= ended_at
    }

    /// An outage since `since` is noticed. One that is known already stays as it is.
    pub(crate) fn begun(&self, since: Timestamp) {
        if self.since().is_none() {
            self.since.store(since.as_nanos().max(1), Relaxed);
        }
    }

    /// What was taken for an outage has another reason.
    pub(crate) fn refuted(&self) {
        if self.since().is_some() {
            self.since.store(0, Relaxed);
        }
    }

    /// An answer has ended it.
    pub(crate) fn ended(&self, now: Timestamp) {
        self.ended_at.fetch_max(now.as_nanos(), Relaxed);
        self.since.store(0, Relaxed);
    }

    pub(crate) fn note_forgiven(&self, backends: usize, since: Timestamp, now: Timestamp) {
        let millis = u64::try_from(now.saturating_since(since).as_millis()).unwrap_or(MILLIS);
        let add = |word: u64| {
            let backends = (word >> 40)
                .saturating_add(backends as u64)
                .min((1 << 24) - 1);
            Some(backends << 40 | (word & MILLIS).max(millis.min(MILLIS)))
        };
        // The closure always returns a word.
        let _ = self.forgiven.fetch_update(Relaxed, Relaxed, add);
    }

    /// What was forgiven since the last call.
    pub(crate) fn take_forgiven(&self) -> Option<ForgivenEjections> {
        if self.forgiven.load(Relaxed) == 0 {
            return None;
        }
        let word = self.forgiven.swap(0, Relaxed);
        (word != 0).then(|| ForgivenEjections {
            backends: (word >> 40) as u32,
            outage: Duration::from_millis(word & MILLIS),
        })
    }

    /// Claims the trial at `now`, if the last one was at `tried_at`. Of several threads that race for it, one succeeds.
    pub(crate) fn claim_trial(&self, tried_at: u64, now: Timestamp) -> bool {
        let next = now.as_nanos().max(1);
        let claimed = self
            .tried_at
            .compare_exchange(tried_at, next, Relaxed, Relaxed);
        claimed.is_ok()
    }

    /// The time of the last trial, if another one is due at `now`.
    pub(crate) fn due(&self, interval: Duration, now: Timestamp) -> Option<u64> {
        let tried_at = self.tried_at.load(Relaxed);
        let next = Timestamp::from_nanos(tried_at).saturating_add(interval);
        (tried_at == 0 || now >= next).then_some(tried_at)
    }
}
