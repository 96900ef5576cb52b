//! Watches that end as soon as they are open.

use std::time::Duration;

/// How many such watches in a row are worth a message. A server that restarts ends some.
const FIRST: u32 = 5;

/// How many there are from one message to the next.
const EVERY: u32 = 300;

/// Counts the watches in a row that ended at once and brought nothing.
#[derive(Debug, Default)]
pub(super) struct ShortWatches(u32);

impl ShortWatches {
    /// Takes in a watch that `lasted` for so long, and brought something or not. Returns the count where a message is
    /// due.
    pub(super) fn ended(&mut self, lasted: Duration, brought_something: bool) -> Option<u32> {
        if brought_something || lasted >= super::WATCH_GAP {
            self.0 = 0;
            return None;
        }
        self.0 = self.0.saturating_add(1);
        (self.0 == FIRST || self.0.is_multiple_of(EVERY)).then_some(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_watches_that_are_short_and_in_a_row_count() {
        let (short, long) = (Duration::ZERO, Duration::from_secs(1));
        let mut watches = ShortWatches::default();
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
