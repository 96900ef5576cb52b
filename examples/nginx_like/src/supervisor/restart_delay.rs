//! The delay of a start after a failure.

use std::time::Duration;

/// A server that ran at least so long has not failed at its start.
const STABLE: Duration = Duration::from_secs(10);

/// The delay of the next start: twice the last one, within bounds, and the first one after a run of 10 s.
#[derive(Debug)]
pub(super) struct RestartDelay {
    first: Duration,
    longest: Duration,
    next: Duration,
}

impl RestartDelay {
    pub(super) fn new(first: Duration, longest: Duration) -> Self {
        let longest = longest.max(first);
        Self {
            first,
            longest,
            next: first,
        }
    }

    /// The delay after a server that ran for `run`.
    pub(super) fn after(&mut self, run: Duration) -> Duration {
        if run >= STABLE {
            self.next = self.first;
        }
        let delay = self.next;
        self.next = (delay * 2).min(self.longest);
        delay
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delay_doubles_up_to_its_bound_and_begins_anew_after_a_stable_run() {
        let ms = Duration::from_millis;
        let mut delay = RestartDelay::new(ms(100), ms(500));
        let failed: Vec<_> = (0..5).map(|_| delay.after(ms(1))).collect();
        assert_eq!(failed, [ms(100), ms(200), ms(400), ms(500), ms(500)]);
        assert_eq!(delay.after(STABLE), ms(100));
        assert_eq!(delay.after(ms(1)), ms(200));
    }
}
