//! Watches that end as soon as they are open.

use std::time::Duration;

/// How many such watches in a row are worth a message. A server that restarts ends some.
const FIRST: u32 = 5;

/// How many there are from one message to the next.
const EVERY: u32 = 300;

/// Counts the watches in a row that ended at once and brought nothing.
#[derive(Debug)]
pub(crate) struct ShortWatches {
    /// A watch that lasts for less has ended at once.
    limit: Duration,
    in_a_row: u32,
}

impl ShortWatches {
    pub(crate) const fn new(limit: Duration) -> Self {
        Self { limit, in_a_row: 0 }
    }

    /// Takes in a watch that `lasted` for so long, and brought something or not. Returns the count where a message is
    /// due.
    pub(crate) fn ended(&mut self, lasted: Duration, brought_something: bool) -> Option<u32> {
        if brought_something || lasted >= self.limit {
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
    fn only_watches_that_are_short_and_in_a_row_count() {
        let (short, long) = (Duration::ZERO, Duration::from_secs(1));
        let mut watches = ShortWatches::new(long);
        for (lasted, brought_something) in [(long, false), (short, true), (long, true)] {
            for _ in 1..FIRST {
                assert_eq!(watches.ended(short, false), None);
            }
            assert_eq!(watches.ended(lasted, brought_something), None);
        }
        let due = (0..2 * EVERY).filter_map(|_| watches.ended(short, false));
        assert_eq!(due.collect::<Vec<_>>(), [FIRST, EVERY, 2 * EVERY]);
    }
}
