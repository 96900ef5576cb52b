//! Watches that end as soon as they are open.

use std::time::Duration;

/// The number of consecutive short watches at which the first message is logged. A server that restarts ends some.
const FIRST: u32 = 5;

/// The number of short watches from one message to the next.
const EVERY: u32 = 300;

/// Counts consecutive watches that ended at once and without an event.
#[derive(Debug)]
pub(crate) struct ShortWatches {
    /// A shorter watch has ended at once.
    limit: Duration,
    in_a_row: u32,
}

impl ShortWatches {
    pub(crate) const fn new(limit: Duration) -> Self {
        Self { limit, in_a_row: 0 }
    }

    /// Records a watch that `lasted` for so long, with an event or without. Returns the count if a message is due.
    pub(crate) fn ended(&mut self, lasted: Duration, had_event: bool) -> Option<u32> {
        if had_event || lasted >= self.limit {
            self.in_a_row = 0;
            return None;
        }
        self.in_a_row = self.in_a_row.saturating_add(1);
        let is_due = self.in_a_row == FIRST || self.in_a_row.is_multiple_of(EVERY);
        is_due.then_some(self.in_a_row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_consecutive_short_watches_count() {
        let (short, long) = (Duration::ZERO, Duration::from_secs(1));
        let mut watches = ShortWatches::new(long);
        for (lasted, had_event) in [(long, false), (short, true), (long, true)] {
            for _ in 1..FIRST {
                assert_eq!(watches.ended(short, false), None);
            }
            assert_eq!(watches.ended(lasted, had_event), None);
        }
        let due = (0..2 * EVERY).filter_map(|_| watches.ended(short, false));
        assert_eq!(due.collect::<Vec<_>>(), [FIRST, EVERY, 2 * EVERY]);
    }
}
