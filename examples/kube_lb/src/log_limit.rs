//! Limits on log lines that repeat.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

/// The time for which a line of one kind is not repeated.
const PAUSE: Duration = Duration::from_secs(30);

/// Limits the lines of one kind.
#[derive(Clone, Debug, Default)]
pub(crate) struct LogLimit {
    last: Option<Instant>,
    suppressed: u64,
}

impl LogLimit {
    /// Whether to log a line now: `Some` with the number of lines that were left out since the last one, at most every 30 s.
    pub(crate) fn admit(&mut self, now: Instant) -> Option<u64> {
        if self.last.is_some_and(|last| now < last + PAUSE) {
            self.suppressed += 1;
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.suppressed))
    }
}

/// Limits the lines of several kinds, each for itself. The kinds are a fixed set.
#[derive(Debug)]
pub(crate) struct LogLimits<K>(BTreeMap<K, LogLimit>);

impl<K> Default for LogLimits<K> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: Ord> LogLimits<K> {
    /// [`LogLimit::admit`] for the lines of `kind`.
    pub(crate) fn admit(&mut self, kind: K) -> Option<u64> {
        self.0.entry(kind).or_default().admit(Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_comes_at_most_every_30_seconds_and_counts_those_between() {
        let mut limit = LogLimit::default();
        let began = Instant::now();
        let at = |seconds| began + Duration::from_secs(seconds);
        let lines = [0, 1, 29, 30, 31, 61].map(|seconds| limit.admit(at(seconds)));
        assert_eq!(lines, [Some(0), None, None, Some(2), None, Some(1)]);
    }
}
