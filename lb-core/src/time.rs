//! Time, which the caller provides.

use std::time::Duration;

/// Nanoseconds since an epoch that the caller chooses.
///
/// The crate never reads a clock: every function whose result depends on time takes a `Timestamp`. Compare
/// only values of one clock. 64 bits of nanoseconds last 584 years.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The moment `nanos` nanoseconds after the epoch.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the epoch.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// This moment plus `duration`, or the last representable moment.
    pub fn saturating_add(self, duration: Duration) -> Self {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(nanos))
    }

    /// The time from `earlier` to this moment, or zero if `earlier` is later.
    pub const fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// A moment relative to another one, in whole nanoseconds: for what outlives a clock and its epoch.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct TimeOffset(i64);

impl TimeOffset {
    /// The moment `nanos` nanoseconds later, or earlier if negative.
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds; negative if the moment is earlier.
    pub const fn as_nanos(self) -> i64 {
        self.0
    }

    /// `moment` relative to `now`. Saturates at 292 years.
    pub fn between(moment: Timestamp, now: Timestamp) -> Self {
        let nanos = i128::from(moment.0) - i128::from(now.0);
        Self(i64::try_from(nanos).unwrap_or(if nanos < 0 { i64::MIN } else { i64::MAX }))
    }

    /// The moment that this is relative to `now`. Saturates at the epoch and at the last representable moment.
    pub const fn from(self, now: Timestamp) -> Timestamp {
        Timestamp(now.0.saturating_add_signed(self.0))
    }

    /// The offset of the same moment once `time` has passed.
    pub fn after(self, time: Duration) -> Self {
        let nanos = i64::try_from(time.as_nanos()).unwrap_or(i64::MAX);
        Self(self.0.saturating_sub(nanos))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates_at_both_ends() {
        let late = Timestamp::from_nanos(u64::MAX - 1);
        assert_eq!(late.saturating_add(Duration::MAX).as_nanos(), u64::MAX);
        assert_eq!(Timestamp::default().saturating_since(late), Duration::ZERO);
        let later = Timestamp::default().saturating_add(Duration::from_secs(3));
        assert_eq!(
            later.saturating_since(Timestamp::default()),
            Duration::from_secs(3)
        );
    }

    #[test]
    fn an_offset_means_the_same_moment_at_any_epoch_and_saturates() {
        let [now, then] = [90, 70].map(Timestamp::from_nanos);
        let ago = TimeOffset::between(then, now);
        assert_eq!(ago.as_nanos(), -20);
        assert_eq!(ago.from(Timestamp::from_nanos(1020)).as_nanos(), 1000);
        assert_eq!(ago.after(Duration::from_nanos(5)).as_nanos(), -25);
        assert_eq!(ago.from(Timestamp::default()), Timestamp::default());
        let ahead = TimeOffset::between(Timestamp::from_nanos(u64::MAX), now);
        assert_eq!(ahead.as_nanos(), i64::MAX);
        assert_eq!(ahead.after(Duration::MAX), TimeOffset::default());
        let far = TimeOffset::between(now, Timestamp::from_nanos(u64::MAX));
        assert_eq!(far.as_nanos(), i64::MIN);
    }
}
