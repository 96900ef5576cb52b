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
}
