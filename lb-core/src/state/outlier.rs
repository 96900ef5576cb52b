//! Outlier detection as in Envoy: consecutive failures eject a backend, for longer each time, and never too many at once.
//!
//! The meaning is that of `consecutive_5xx` for TCP, where a failure is a connection that could not be established
//! (`outlier_detection_impl.cc`): `consecutive_failures` of them in a row eject the backend for `base_ejection` times
//! the number of its ejections, at most `max_ejection`, unless more than `max_ejected_percent` of all backends
//! were ejected then. Every `interval` without an ejection takes one off the number. Envoy ends
//! ejections once an interval; here each ends when its time is over. An active check that succeeds ends an ejection.

use std::num::NonZeroU32;
use std::time::Duration;

pub(crate) use record::OutlierRecord;

mod record;

/// When outliers are ejected, and for how long. The defaults are Envoy's.
#[doc(alias = "consecutive_5xx", alias = "passive health check")]
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct OutlierDetection {
    /// Failures in a row that eject. Default: 5. Never 0: without outlier detection it is `None` in
    /// [`BalancerConfig`](crate::BalancerConfig).
    #[cfg_attr(feature = "serde", serde(alias = "consecutive_5xx"))]
    pub consecutive_failures: NonZeroU32,
    /// How long the first ejection lasts. Default: 30 s.
    #[cfg_attr(
        feature = "serde",
        serde(alias = "base_ejection_time", with = "crate::serde_form::DurationForm")
    )]
    pub base_ejection: Duration,
    /// The longest that an ejection lasts, jitter aside. Default: 300 s.
    #[cfg_attr(
        feature = "serde",
        serde(alias = "max_ejection_time", with = "crate::serde_form::DurationForm")
    )]
    pub max_ejection: Duration,
    /// At most this much is added to an ejection, so that backends that were ejected together do not return together. It is
    /// computed from the address and the moment. Default: none.
    #[cfg_attr(
        feature = "serde",
        serde(
            alias = "max_ejection_time_jitter",
            with = "crate::serde_form::DurationForm"
        )
    )]
    pub max_jitter: Duration,
    /// How many percent of the backends that take connections may be ejected at once. Default: 10, so of fewer than ten
    /// none is.
    #[cfg_attr(
        feature = "serde",
        serde(
            alias = "max_ejection_percent",
            with = "crate::serde_form::Percent::<0, 100>"
        )
    )]
    pub max_ejected_percent: u8,
    /// How long a backend must not be ejected until its next ejection is shorter again. Default: 10 s.
    #[cfg_attr(feature = "serde", serde(with = "crate::serde_form::DurationForm"))]
    pub interval: Duration,
}

impl Default for OutlierDetection {
    fn default() -> Self {
        Self {
            consecutive_failures: NonZeroU32::MIN.saturating_add(4),
            base_ejection: Duration::from_secs(30),
            max_ejection: Duration::from_secs(300),
            max_jitter: Duration::ZERO,
            max_ejected_percent: 10,
            interval: Duration::from_secs(10),
        }
    }
}

impl OutlierDetection {
    /// Sets [`consecutive_failures`](field@Self::consecutive_failures). 0 means 1, because no backend is ejected without a failure.
    #[must_use]
    pub const fn consecutive_failures(mut self, failures: u32) -> Self {
        self.consecutive_failures = match NonZeroU32::new(failures) {
            Some(failures) => failures,
            None => NonZeroU32::MIN,
        };
        self
    }

    /// Sets [`base_ejection`](field@Self::base_ejection) and [`max_ejection`](field@Self::max_ejection).
    #[must_use]
    pub const fn ejection(mut self, base: Duration, max: Duration) -> Self {
        self.base_ejection = base;
        self.max_ejection = max;
        self
    }

    /// Sets [`max_jitter`](field@Self::max_jitter).
    #[must_use]
    pub const fn max_jitter(mut self, jitter: Duration) -> Self {
        self.max_jitter = jitter;
        self
    }

    /// Sets [`max_ejected_percent`](field@Self::max_ejected_percent).
    #[must_use]
    pub const fn max_ejected_percent(mut self, percent: u8) -> Self {
        self.max_ejected_percent = percent;
        self
    }

    /// Sets [`interval`](field@Self::interval).
    #[must_use]
    pub const fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// Whether one more of `backends` may be ejected while `ejected` are.
    pub(crate) fn allows(&self, ejected: usize, backends: usize) -> bool {
        (ejected + 1) * 100 <= usize::from(self.max_ejected_percent) * backends
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_part_of_all_may_be_ejected() {
        let detection = OutlierDetection::default();
        assert!(!detection.allows(0, 9));
        assert!(detection.allows(0, 10));
        assert!(!detection.allows(1, 19));
        assert!(detection.allows(1, 20));
    }
}
