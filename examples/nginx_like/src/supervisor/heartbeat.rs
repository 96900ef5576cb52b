//! Watches whether the server still renews its readiness file.

use std::time::Duration;

use tokio::time::Instant;

/// What is added to the heartbeat before a file counts as old: at least this, and a quarter of the heartbeat.
const MARGIN: Duration = Duration::from_millis(50);

/// How often the file is looked at.
const SHORTEST_PERIOD: Duration = Duration::from_millis(5);
const LONGEST_PERIOD: Duration = Duration::from_millis(250);

/// A state of the file: its inode and the time of its change.
pub(super) type FileState = (u64, i64, i64);

/// Whether the server still renews its readiness file.
///
/// It compares states and measures by the monotonic clock, so that a step of the system's clock is no failure.
#[derive(Debug)]
pub(super) struct Heartbeat {
    limit: Duration,
    period: Duration,
    last: Option<FileState>,
    changed: Instant,
    looked: Instant,
}

impl Heartbeat {
    /// `heartbeat`: the age of the file from which the server counts as frozen.
    pub(super) fn new(heartbeat: Duration, now: Instant) -> Self {
        Self {
            limit: heartbeat + MARGIN.max(heartbeat / 4),
            period: (heartbeat / 10).clamp(SHORTEST_PERIOD, LONGEST_PERIOD),
            last: None,
            changed: now,
            looked: now,
        }
    }

    /// How often to [look](Self::is_late).
    pub(super) const fn period(&self) -> Duration {
        self.period
    }

    /// The supervisor has changed the file: that is no sign of life.
    pub(super) const fn accept(&mut self, state: Option<FileState>) {
        self.last = state;
    }

    /// Whether the file, in the state `found`, has not changed for too long.
    pub(super) fn is_late(&mut self, found: Option<FileState>, now: Instant) -> bool {
        let gap = now.duration_since(self.looked);
        if gap > self.period + MARGIN {
            // This process was itself stopped or without a processor, and perhaps the server, too.
            self.changed += gap - self.period;
        }
        self.looked = now;
        if found != self.last {
            self.last = found;
            self.changed = now;
        }
        now.duration_since(self.changed) > self.limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// Looks every 10 ms from `from` to `to`, and returns when the file was first late.
    fn late(
        beat: &mut Heartbeat,
        start: Instant,
        (from, to): (u64, u64),
        state: FileState,
    ) -> Option<u64> {
        let times = (from..to).step_by(10);
        times
            .into_iter()
            .find(|&at| beat.is_late(Some(state), start + ms(at)))
    }

    #[test]
    fn a_file_is_late_after_the_heartbeat_and_a_margin_and_not_if_it_changes() {
        let start = Instant::now();
        let mut beat = Heartbeat::new(ms(100), start);
        assert_eq!(late(&mut beat, start, (0, 150), (1, 0, 0)), None);
        assert_eq!(late(&mut beat, start, (150, 290), (1, 0, 1)), None);
        assert_eq!(late(&mut beat, start, (290, 600), (1, 0, 1)), Some(310));
        // The own write is no sign of life, one of the server is.
        beat.accept(Some((1, 0, 2)));
        assert!(beat.is_late(Some((1, 0, 2)), start + ms(320)));
        assert!(!beat.is_late(Some((2, 0, 3)), start + ms(330)));
    }

    #[test]
    fn the_time_in_which_the_supervisor_was_stopped_does_not_count() {
        let start = Instant::now();
        let mut beat = Heartbeat::new(ms(100), start);
        assert!(!beat.is_late(Some((1, 0, 0)), start));
        assert!(!beat.is_late(Some((1, 0, 0)), start + ms(5000)));
        assert_eq!(late(&mut beat, start, (5010, 5600), (1, 0, 0)), Some(5150));
    }
}
