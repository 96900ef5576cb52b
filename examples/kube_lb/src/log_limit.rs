//! Limits on log lines that repeat.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

/// The time for which a line of one kind is not repeated.
const PAUSE: Duration = Duration::from_secs(30);

/// The time between lines about one failure whose text changes.
const NEW_TEXT_PAUSE: Duration = Duration::from_secs(1);

/// Limits the lines of one kind.
#[derive(Clone, Debug, Default)]
pub(crate) struct LogLimit {
    last: Option<Instant>,
    suppressed: u64,
}

impl LogLimit {
    /// Whether to log a line now: `Some` with the number of lines that were left out since the last one, at most every 30 s.
    pub(crate) fn admit(&mut self, now: Instant) -> Option<u64> {
        self.admit_after(PAUSE, now)
    }

    fn admit_after(&mut self, pause: Duration, now: Instant) -> Option<u64> {
        if self.last.is_some_and(|last| now < last + pause) {
            self.suppressed += 1;
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.suppressed))
    }
}

/// Limits the lines about something that fails again and again: another text gets a line at once, but at most one a second, and the
/// same text one every 30 s.
#[derive(Debug, Default)]
pub(crate) struct FailureLog {
    text: Option<String>,
    limit: LogLimit,
}

impl FailureLog {
    /// Whether to log a line about `text` now: `Some` with the number of lines that were left out since the last one.
    pub(crate) fn admit(&mut self, text: &str, now: Instant) -> Option<u64> {
        let is_new = self.text.as_deref() != Some(text);
        let pause = if is_new { NEW_TEXT_PAUSE } else { PAUSE };
        let admitted = self.limit.admit_after(pause, now)?;
        if is_new {
            self.text = Some(text.to_owned());
        }
        Some(admitted)
    }

    /// The failure has ended. Returns whether a line of the log is about it.
    pub(crate) fn end(&mut self) -> bool {
        self.text.take().is_some()
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

    #[test]
    fn a_failure_is_logged_when_its_text_changes_and_then_rarely() {
        let mut log = FailureLog::default();
        let began = Instant::now();
        let mut at = |text, millis| log.admit(text, began + Duration::from_millis(millis));
        assert_eq!(at("a", 0), Some(0));
        assert_eq!((at("a", 2000), at("a", 29_999)), (None, None));
        assert_eq!(at("a", 30_000), Some(2));
        // Texts that alternate do not flood the log either.
        assert_eq!((at("b", 30_500), at("b", 31_000)), (None, Some(1)));
        assert_eq!((at("a", 31_500), at("b", 31_600)), (None, None));
        assert_eq!(at("a", 32_000), Some(2));
        assert_eq!((log.end(), log.end()), (true, false));
    }
}
