//! Limits how many lines of one kind a storm writes.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How many lines of one kind are written at once.
const BURST: u32 = 1000;

/// How long one further line takes.
const EVERY: Duration = Duration::from_millis(10);

/// How long lines are counted before their number is written.
pub(crate) const REPORT_AFTER: Duration = Duration::from_secs(1);

/// Counts the lines of each kind: a token bucket of 1000 lines, and 100 further ones each second.
///
/// The kinds are texts of this program, so their number is bounded.
#[derive(Debug, Default)]
pub(crate) struct StormLimit(Mutex<HashMap<&'static str, Kind>>);

#[derive(Debug)]
struct Kind {
    /// When the bucket is full again.
    full_at: Instant,
    suppressed: u64,
}

/// What happens to a line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    Write,
    /// It is not written. `is_first` if no line of its kind was suppressed since the last [`take`](StormLimit::take), so
    /// that the caller must see to it that the number is written.
    Suppress {
        is_first: bool,
    },
}

impl StormLimit {
    /// Counts a line of `kind`.
    pub(crate) fn admit(&self, kind: &'static str, now: Instant) -> Verdict {
        let mut kinds = self.lock();
        let kind = kinds.entry(kind).or_insert(Kind {
            full_at: now,
            suppressed: 0,
        });
        let full_at = kind.full_at.max(now) + EVERY;
        if full_at > now + EVERY * BURST {
            kind.suppressed += 1;
            return Verdict::Suppress {
                is_first: kind.suppressed == 1,
            };
        }
        kind.full_at = full_at;
        Verdict::Write
    }

    /// How many lines of `kind` were suppressed since the last call.
    pub(crate) fn take(&self, kind: &'static str) -> u64 {
        let mut kinds = self.lock();
        let kind = kinds.get_mut(kind);
        kind.map_or(0, |kind| std::mem::take(&mut kind.suppressed))
    }

    /// No code that can panic runs under the lock.
    fn lock(&self) -> MutexGuard<'_, HashMap<&'static str, Kind>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_storm_is_cut_and_counted_and_ends() {
        let limit = StormLimit::default();
        let begin = Instant::now();
        let written = |count: u32, now| {
            let verdicts = (0..count).map(|_| limit.admit("refused", now));
            verdicts
                .filter(|verdict| *verdict == Verdict::Write)
                .count()
        };
        assert_eq!(written(5000, begin), 1000);
        assert_eq!(limit.admit("denied", begin), Verdict::Write);
        assert_eq!(limit.take("refused"), 4000);
        assert_eq!(limit.take("refused"), 0);
        let first = Verdict::Suppress { is_first: true };
        assert_eq!(limit.admit("refused", begin), first);
        let second = Verdict::Suppress { is_first: false };
        assert_eq!(limit.admit("refused", begin), second);
        assert_eq!(written(5000, begin + Duration::from_secs(1)), 100);
        assert_eq!(written(5000, begin + Duration::from_secs(60)), 1000);
    }
}
