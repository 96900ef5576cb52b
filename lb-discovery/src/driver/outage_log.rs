//! Decides which failures of a source are logged.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

/// The minimum time between two lines, so that a source which fails and recovers in turn does not fill the log.
const MIN_GAP: Duration = Duration::from_secs(5);

/// The minimum time between two lines of one outage: its reason may change at each attempt.
const CHANGED_GAP: Duration = Duration::from_secs(10);

/// The time after which the same error is logged again. Also the time for which, after a recovery that did not last, a
/// recovery is logged only once it lasts.
const REMINDER: Duration = Duration::from_secs(600);

/// How long a recovery must last. A source that yields a set and fails at once, each time, has not recovered.
pub(crate) const LASTING: Duration = Duration::from_secs(5);

/// The log of one source's failures: at most a few lines an outage.
#[derive(Debug, Default)]
pub(crate) struct OutageLog {
    /// When the last failure was logged, and its error.
    last: Option<(Instant, Arc<str>)>,
    /// Whether the current outage is logged. An outage lasts until its end is logged.
    is_logged: bool,
    /// Number of failures since the last line.
    failures: u64,
    /// When a recovery was logged, if no failure followed.
    recovered: Option<Instant>,
    /// When a failure followed a logged recovery within [`LASTING`].
    relapsed: Option<Instant>,
    /// A line that is logged later, and when.
    due: Option<(Instant, DueLine)>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum SourceFailure {
    /// An authoritative empty answer from a source without backends.
    Empty,
    /// An answer that removes all backends of the source. Always logged.
    Emptied,
    /// No answer, or an empty one that does not empty the set.
    Failed,
}

/// A line that is logged later.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum DueLine {
    /// The source has no backends, for this reason.
    Empty(Arc<str>),
    Recovered,
}

impl OutageLog {
    /// The log of a source that another driver followed before. `is_failing`: whether the source fails, which that driver
    /// has logged.
    pub(crate) fn inherited(is_failing: bool) -> Self {
        Self {
            is_logged: is_failing,
            ..Self::default()
        }
    }

    /// Records a failure. Returns how many failures the line counts, if one is to be logged now.
    pub(crate) fn failed(
        &mut self,
        kind: SourceFailure,
        error: &Arc<str>,
        now: Instant,
    ) -> Option<u64> {
        self.failures += 1;
        self.due = None;
        if self.recovered.take().is_some_and(|at| now < at + LASTING) {
            self.relapsed = Some(now);
        }
        if let Some((at, last)) = &self.last
            && kind != SourceFailure::Emptied
        {
            let is_new = !self.is_logged || !is_same(last, error);
            let gap = match self.is_logged {
                false => MIN_GAP,
                true if is_new => CHANGED_GAP,
                true => REMINDER,
            };
            let due = *at + gap;
            if now < due {
                // It may be the last answer of the source, so it is logged later.
                if kind == SourceFailure::Empty && is_new {
                    self.due = Some((due, DueLine::Empty(Arc::clone(error))));
                }
                return None;
            }
        }
        Some(self.log(error, now))
    }

    /// Records a set. Returns whether a recovery is to be logged now.
    pub(crate) fn succeeded(&mut self, now: Instant) -> bool {
        if !self.is_logged {
            self.due = None;
            return false;
        }
        if self.relapsed.is_some_and(|at| now < at + REMINDER) {
            if !matches!(self.due, Some((_, DueLine::Recovered))) {
                self.due = Some((now + LASTING, DueLine::Recovered));
            }
            return false;
        }
        self.recover(now);
        true
    }

    /// When [`take_due`](Self::take_due) returns a line.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.due.as_ref().map(|(at, _)| *at)
    }

    /// Takes the line that is due now, and how many failures it counts.
    pub(crate) fn take_due(&mut self, now: Instant) -> Option<(DueLine, u64)> {
        let (_, due) = self.due.take()?;
        let failures = match &due {
            DueLine::Empty(error) => self.log(error, now),
            DueLine::Recovered => {
                self.recover(now);
                0
            }
        };
        Some((due, failures))
    }

    fn log(&mut self, error: &Arc<str>, now: Instant) -> u64 {
        self.last = Some((now, Arc::clone(error)));
        self.is_logged = true;
        std::mem::take(&mut self.failures)
    }

    fn recover(&mut self, now: Instant) {
        self.recovered = Some(now);
        self.is_logged = false;
        self.due = None;
    }
}

/// Whether two errors have the same reason. Digits are ignored: a time or a port may differ at each attempt.
fn is_same(one: &str, other: &str) -> bool {
    fn words(error: &str) -> impl Iterator<Item = char> {
        error.chars().filter(|c| !c.is_ascii_digit())
    }
    words(one).eq(words(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In place of an error: a set.
    const SET: &str = "";

    /// Replays `events`: a failure with an error, or a [`SET`], at each second. Returns the second and the number of
    /// failures of each line; a recovery has 0.
    fn logged(events: &[(u64, &str)]) -> Vec<(u64, u64)> {
        let (start, mut outage) = (Instant::now(), OutageLog::default());
        let mut lines = Vec::new();
        for &(second, error) in events {
            let now = start + Duration::from_secs(second);
            while let Some(due) = outage.due().filter(|due| *due <= now) {
                let (_, failures) = outage.take_due(due).unwrap();
                lines.push(((due - start).as_secs(), failures));
            }
            if error == SET {
                lines.extend(outage.succeeded(now).then_some((second, 0)));
            } else {
                let line = outage.failed(SourceFailure::Failed, &error.into(), now);
                lines.extend(line.map(|failures| (second, failures)));
            }
        }
        lines
    }

    #[test]
    fn an_outage_is_logged_once_and_then_every_ten_minutes() {
        let every_10_s = (0..=130).map(|n| (n * 10, "a"));
        assert_eq!(
            logged(&every_10_s.collect::<Vec<_>>()),
            [(0, 1), (600, 60), (1200, 60)]
        );
    }

    #[test]
    fn a_new_reason_is_logged_but_not_at_once() {
        let numbers = [(0, "at 17:59"), (60, "at 18:00"), (120, "at 180")];
        assert_eq!(logged(&numbers), [(0, 1), (120, 2)]);

        let failures = [(0, "a"), (6, "b"), (11, "b"), (20, "a"), (22, "c")];
        assert_eq!(logged(&failures), [(0, 1), (11, 2), (22, 2)]);
    }

    #[test]
    fn alternating_failures_and_sets_log_a_few_lines_in_ten_minutes() {
        let every_second = (0..1300).map(|n| (n, if n % 2 == 0 { "a" } else { SET }));
        let lines = logged(&every_second.collect::<Vec<_>>());
        let seconds: Vec<_> = lines.iter().map(|(second, _)| *second).collect();
        assert_eq!(seconds, [0, 1, 6, 603, 604, 1204, 1205, 1210]);
    }

    #[test]
    fn a_recovery_is_logged_if_its_outage_was_and_if_it_lasts() {
        let sets = [(0, "a"), (1, SET), (2, "a"), (3, SET), (4, SET)];
        assert_eq!(
            logged(&sets),
            [(0, 1), (1, 0)],
            "no line of the second outage"
        );

        let sets = [
            (0, "a"),
            (1, SET),
            (5, "a"),
            (6, SET),
            (9, "a"),
            (10, SET),
            (12, SET),
            (90, "a"),
            (91, SET),
            (700, "a"),
            (701, SET),
        ];
        let lines = [
            (0, 1),
            (1, 0),
            (5, 1),
            (15, 0),
            (90, 2),
            (96, 0),
            (700, 1),
            (701, 0),
        ];
        assert_eq!(logged(&sets), lines);
    }

    #[test]
    fn an_outage_too_soon_after_the_last_line_is_logged_later() {
        let failures = [(0, "a"), (0, SET), (1, "b"), (2, "b"), (7, "b"), (9, "b")];
        assert_eq!(logged(&failures), [(0, 1), (0, 0), (7, 3)]);
    }

    #[test]
    fn a_set_that_becomes_empty_is_logged_at_once() {
        let (now, mut outage) = (Instant::now(), OutageLog::default());
        let error: Arc<str> = "a".into();
        for kind in [
            SourceFailure::Failed,
            SourceFailure::Emptied,
            SourceFailure::Emptied,
        ] {
            assert!(outage.failed(kind, &error, now).is_some());
        }
        assert_eq!(outage.failed(SourceFailure::Failed, &error, now), None);
    }

    #[test]
    fn an_empty_answer_without_an_earlier_set_is_logged_when_due() {
        let (now, mut outage) = (Instant::now(), OutageLog::default());
        let (away, gone): (Arc<str>, Arc<str>) = ("away".into(), "gone".into());
        assert_eq!(outage.failed(SourceFailure::Failed, &away, now), Some(1));
        assert_eq!(outage.failed(SourceFailure::Empty, &gone, now), None);
        let due = outage.due().unwrap();
        assert_eq!(due, now + CHANGED_GAP);
        let line = outage.take_due(due);
        assert_eq!(line, Some((DueLine::Empty(Arc::clone(&gone)), 1)));
        // The same answer is logged already, so no line becomes due.
        assert_eq!(outage.failed(SourceFailure::Empty, &gone, due), None);
        assert_eq!(outage.due(), None);
    }

    #[test]
    fn the_end_of_an_inherited_outage_is_logged() {
        assert!(OutageLog::inherited(true).succeeded(Instant::now()));
        assert!(!OutageLog::inherited(false).succeeded(Instant::now()));
    }
}
