//! Which failures of a source are worth a line of the log.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

/// The least time between two lines, so that a source which fails and recovers in turn does not fill the log.
const GAP: Duration = Duration::from_secs(5);

/// The least time between two lines of one outage, whose reasons may change in turn.
const CHANGED: Duration = Duration::from_secs(10);

/// When the same error is logged again. Also how long recoveries are doubted after one that did not last.
const REMINDER: Duration = Duration::from_secs(600);

/// How long a recovery must last. A source that gives a set and fails at once, each time, has not recovered.
pub(crate) const LASTING: Duration = Duration::from_secs(5);

/// What was logged of the failures of one source.
#[derive(Debug, Default)]
pub(crate) struct Outage {
    /// When the last line of a failure was written, and the error in it.
    last: Option<(Instant, Arc<str>)>,
    /// Whether the failures that go on have a line. An outage whose end has no line goes on.
    is_logged: bool,
    /// How many failures there were since the last line.
    failures: u64,
    /// When the line of a recovery was written, if no failure followed.
    recovered: Option<Instant>,
    /// When a recovery that was logged turned out not to last.
    relapsed: Option<Instant>,
    /// A line that waits for its time.
    due: Option<(Instant, Due)>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    /// The source says that it has no backends, and had none before.
    Empty,
    /// The source has lost its backends. Always logged.
    Emptied,
    /// The source does not answer.
    Failed,
}

/// A line of the log.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Due {
    /// The source has no backends, for this reason.
    Empty(Arc<str>),
    Recovered,
}

impl Outage {
    /// What was logged of a source that another driver followed before, where it fails if `is_failing`.
    pub(crate) fn inherited(is_failing: bool) -> Self {
        Self {
            is_logged: is_failing,
            ..Self::default()
        }
    }

    /// Takes a failure. If it is to be logged: how many failures the line stands for.
    pub(crate) fn failed(&mut self, kind: Kind, error: &Arc<str>, now: Instant) -> Option<u64> {
        self.failures += 1;
        self.due = None;
        if self.recovered.take().is_some_and(|at| now < at + LASTING) {
            self.relapsed = Some(now);
        }
        if let Some((at, last)) = &self.last
            && kind != Kind::Emptied
        {
            let is_new = !self.is_logged || !is_same(last, error);
            let gap = match self.is_logged {
                false => GAP,
                true if is_new => CHANGED,
                true => REMINDER,
            };
            let due = *at + gap;
            if now < due {
                // It may be the last that is heard of the source.
                if kind == Kind::Empty && is_new {
                    self.due = Some((due, Due::Empty(Arc::clone(error))));
                }
                return None;
            }
        }
        Some(self.log(error, now))
    }

    /// Takes a set. Returns whether a recovery is to be logged now.
    pub(crate) fn succeeded(&mut self, now: Instant) -> bool {
        if !self.is_logged {
            self.due = None;
            return false;
        }
        if self.relapsed.is_some_and(|at| now < at + REMINDER) {
            if !matches!(self.due, Some((_, Due::Recovered))) {
                self.due = Some((now + LASTING, Due::Recovered));
            }
            return false;
        }
        self.recover(now);
        true
    }

    /// When [`take_due`](Self::take_due) has something to log.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.due.as_ref().map(|(at, _)| *at)
    }

    /// The line that waited for its time, which is now, and how many failures it stands for.
    pub(crate) fn take_due(&mut self, now: Instant) -> Option<(Due, u64)> {
        let (_, due) = self.due.take()?;
        let failures = match &due {
            Due::Empty(error) => self.log(error, now),
            Due::Recovered => {
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

    const ANYTHING: &str = "";

    /// Failures at these seconds, with these errors, and sets where there is none; and the lines: when, and for how many
    /// failures, which is 0 of a recovery.
    fn logged(events: &[(u64, &str)]) -> Vec<(u64, u64)> {
        let (start, mut outage) = (Instant::now(), Outage::default());
        let mut lines = Vec::new();
        for &(second, error) in events {
            let now = start + Duration::from_secs(second);
            while let Some(due) = outage.due().filter(|due| *due <= now) {
                let (_, failures) = outage.take_due(due).unwrap();
                lines.push(((due - start).as_secs(), failures));
            }
            if error == ANYTHING {
                lines.extend(outage.succeeded(now).then_some((second, 0)));
            } else {
                let line = outage.failed(Kind::Failed, &error.into(), now);
                lines.extend(line.map(|failures| (second, failures)));
            }
        }
        lines
    }

    #[test]
    fn an_outage_is_one_line_and_one_every_ten_minutes() {
        let every_10_s = (0..=130).map(|n| (n * 10, "a"));
        assert_eq!(
            logged(&every_10_s.collect::<Vec<_>>()),
            [(0, 1), (600, 60), (1200, 60)]
        );
    }

    #[test]
    fn another_reason_is_another_line_but_not_at_once() {
        let numbers = [(0, "at 17:59"), (60, "at 18:00"), (120, "at 180")];
        assert_eq!(logged(&numbers), [(0, 1), (120, 2)]);

        let failures = [(0, "a"), (6, "b"), (11, "b"), (20, "a"), (22, "c")];
        assert_eq!(logged(&failures), [(0, 1), (11, 2), (22, 2)]);
    }

    #[test]
    fn failures_and_sets_in_turn_are_a_few_lines_in_ten_minutes() {
        let every_second = (0..1300).map(|n| (n, if n % 2 == 0 { "a" } else { ANYTHING }));
        let lines = logged(&every_second.collect::<Vec<_>>());
        let seconds: Vec<_> = lines.iter().map(|(second, _)| *second).collect();
        assert_eq!(seconds, [0, 1, 6, 603, 604, 1204, 1205, 1210]);
    }

    #[test]
    fn a_recovery_is_logged_if_the_outage_was_and_it_lasts() {
        let sets = [
            (0, "a"),
            (1, ANYTHING),
            (2, "a"),
            (3, ANYTHING),
            (4, ANYTHING),
        ];
        assert_eq!(
            logged(&sets),
            [(0, 1), (1, 0)],
            "no line of the second outage"
        );

        let sets = [
            (0, "a"),
            (1, ANYTHING),
            (5, "a"),
            (6, ANYTHING),
            (9, "a"),
            (10, ANYTHING),
            (12, ANYTHING),
            (90, "a"),
            (91, ANYTHING),
            (700, "a"),
            (701, ANYTHING),
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
    fn an_outage_that_began_too_soon_for_a_line_has_one_later() {
        let failures = [
            (0, "a"),
            (0, ANYTHING),
            (1, "b"),
            (2, "b"),
            (7, "b"),
            (9, "b"),
        ];
        assert_eq!(logged(&failures), [(0, 1), (0, 0), (7, 3)]);
    }

    #[test]
    fn a_set_that_becomes_empty_is_logged_at_once() {
        let (now, mut outage) = (Instant::now(), Outage::default());
        let error: Arc<str> = "a".into();
        for kind in [Kind::Failed, Kind::Emptied, Kind::Emptied] {
            assert!(outage.failed(kind, &error, now).is_some());
        }
        assert_eq!(outage.failed(Kind::Failed, &error, now), None);
    }

    #[test]
    fn an_empty_answer_without_a_set_before_is_logged_in_time() {
        let (now, mut outage) = (Instant::now(), Outage::default());
        let (away, gone): (Arc<str>, Arc<str>) = ("away".into(), "gone".into());
        assert_eq!(outage.failed(Kind::Failed, &away, now), Some(1));
        assert_eq!(outage.failed(Kind::Empty, &gone, now), None);
        let due = outage.due().unwrap();
        assert_eq!(due, now + CHANGED);
        let line = outage.take_due(due);
        assert_eq!(line, Some((Due::Empty(Arc::clone(&gone)), 1)));
        // What is in the log already does not wait.
        assert_eq!(outage.failed(Kind::Empty, &gone, due), None);
        assert_eq!(outage.due(), None);
    }

    #[test]
    fn an_outage_that_was_inherited_ends_with_a_line() {
        assert!(Outage::inherited(true).succeeded(Instant::now()));
        assert!(!Outage::inherited(false).succeeded(Instant::now()));
    }
}
