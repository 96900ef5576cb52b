//! Pauses of a task that panicked before it begins again.

use std::time::Duration;

const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);

/// The pauses of one task: 1 s, then twice as long each time, up to a minute. They start over after a run that was longer.
#[derive(Debug)]
pub(crate) struct RestartPauses(Duration);

impl RestartPauses {
    /// The pause after a run that has lasted for `ran`.
    pub(crate) fn next(&mut self, ran: Duration) -> Duration {
        if ran > LONGEST {
            self.0 = SHORTEST;
        }
        let pause = self.0;
        self.0 = (pause * 2).min(LONGEST);
        pause
    }
}

impl Default for RestartPauses {
    fn default() -> Self {
        Self(SHORTEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_minute_and_start_over_after_a_long_run() {
        let mut pauses = RestartPauses::default();
        let seconds: Vec<_> = (0..8)
            .map(|_| pauses.next(Duration::ZERO).as_secs())
            .collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(pauses.next(LONGEST * 2), SHORTEST);
    }
}
