//! Which failures of a source are worth a line of the log.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

/// The least time between two lines, so that a source which fails and recovers in turn does not fill the log.
const GAP: Duration = Duration::from_secs(5);

/// The least time between two lines of one outage, whose reasons may change in turn.
const CHANGED: Duration = Duration::from_secs(10);

/// When the same error is logged again.
const REMINDER: Duration = Duration::from_secs(600);

/// What was logged of the failures of one source.
#[derive(Debug, Default)]
pub(super) struct Outage {
    /// When the last line was written, and the error in it.
    last: Option<(Instant, Arc<str>)>,
    /// Whether the failures that go on have a line.
    is_logged: bool,
    /// How many failures there were since the last line.
    failures: u64,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    /// Not the first since the last success.
    Another,
    /// The source has lost its backends. Always logged: it may be the last that is heard of the source.
    Emptied,
    /// The first since a success.
    First,
}

impl Outage {
    /// Takes a failure. If it is to be logged: how many failures the line stands for.
    pub(super) fn failed(&mut self, kind: Kind, error: &Arc<str>, now: Instant) -> Option<u64> {
        self.failures += 1;
        self.is_logged &= kind == Kind::Another;
        let is_due = self.last.as_ref().is_none_or(|(at, last)| {
            if kind == Kind::Emptied {
                return true;
            }
            let age = now.duration_since(*at);
            let gap = match self.is_logged {
                false => GAP,
                true if !is_same(last, error) => CHANGED,
                true => REMINDER,
            };
            age >= gap
        });
        if !is_due {
            return None;
        }
        self.last = Some((now, Arc::clone(error)));
        self.is_logged = true;
        Some(std::mem::take(&mut self.failures))
    }
}

/// Whether two errors have one reason. Numbers do not count: a time or a port may be another at each attempt.
fn is_same(one: &str, other: &str) -> bool {
    fn words(error: &str) -> impl Iterator<Item = char> {
        error.chars().filter(|c| !c.is_ascii_digit())
    }
    words(one).eq(words(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Failures at these seconds, with these errors, the first of an outage marked; and the lines: when, and for how
    /// many.
    fn logged(failures: &[(u64, bool, &str)]) -> Vec<(u64, u64)> {
        let (start, mut outage) = (Instant::now(), Outage::default());
        let lines = failures.iter().filter_map(|&(second, first, error)| {
            let now = start + Duration::from_secs(second);
            let kind = if first { Kind::First } else { Kind::Another };
            Some((second, outage.failed(kind, &error.into(), now)?))
        });
        lines.collect()
    }

    #[test]
    fn an_outage_is_one_line_and_one_every_ten_minutes() {
        let every_10_s = (0..=130).map(|n| (n * 10, n == 0, "a"));
        assert_eq!(
            logged(&every_10_s.collect::<Vec<_>>()),
            [(0, 1), (600, 60), (1200, 60)]
        );
    }

    #[test]
    fn another_reason_is_another_line_but_not_at_once() {
        let numbers = [
            (0, true, "at 17:59"),
            (60, false, "at 18:00"),
            (120, false, "at 180"),
        ];
        assert_eq!(logged(&numbers), [(0, 1), (120, 2)]);

        let failures = [
            (0, true, "a"),
            (6, false, "b"),
            (11, false, "b"),
            (20, false, "a"),
            (22, false, "c"),
        ];
        assert_eq!(logged(&failures), [(0, 1), (11, 2), (22, 2)]);
    }

    #[test]
    fn failures_and_successes_in_turn_are_a_line_in_five_seconds() {
        let every_second = (0..12).map(|n| (n, true, "a"));
        assert_eq!(
            logged(&every_second.collect::<Vec<_>>()),
            [(0, 1), (5, 5), (10, 5)]
        );
    }

    #[test]
    fn an_outage_that_began_too_soon_for_a_line_has_one_later() {
        let failures = [
            (0, true, "a"),
            (1, true, "b"),
            (2, false, "b"),
            (7, false, "b"),
            (9, false, "b"),
        ];
        assert_eq!(logged(&failures), [(0, 1), (7, 3)]);
    }

    #[test]
    fn a_set_that_becomes_empty_is_logged_at_once() {
        let (now, mut outage) = (Instant::now(), Outage::default());
        let error: Arc<str> = "a".into();
        for kind in [Kind::First, Kind::Emptied, Kind::Emptied] {
            assert!(outage.failed(kind, &error, now).is_some());
        }
        assert_eq!(outage.failed(Kind::Another, &error, now), None);
    }
}
