//! When a relay ends for want of time.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use tokio::time::Instant;

use super::RelayEnd;
use crate::config::Timeouts;

/// The time-outs of one relay, and what they count from.
#[derive(Debug)]
pub(super) struct Deadlines<'a> {
    timeouts: &'a Timeouts,
    begin: Instant,
    last_progress: Option<Instant>,
    too_old: Option<Instant>,
}

impl<'a> Deadlines<'a> {
    /// Counts from now on.
    pub(super) fn new(timeouts: &'a Timeouts) -> Self {
        let begin = Instant::now();
        let max_age = timeouts.max_age.map(|age| jittered(age, timeouts));
        Self {
            timeouts,
            begin,
            last_progress: None,
            too_old: max_age.and_then(|age| begin.checked_add(age)),
        }
    }

    /// Bytes or an end moved.
    pub(super) fn note_progress(&mut self) {
        self.last_progress = Some(Instant::now());
    }

    /// The next deadline, and how the relay ends if nothing moves until then.
    pub(super) fn next(&self, is_half_closed: bool) -> Option<(Instant, RelayEnd)> {
        let (limit, end) = if is_half_closed {
            (self.timeouts.half_closed, RelayEnd::HalfClosedTimeout)
        } else {
            (self.timeouts.idle, RelayEnd::IdleTimeout)
        };
        let since = self.last_progress.unwrap_or(self.begin);
        let silent = limit.and_then(|limit| Some((since.checked_add(limit)?, end)));
        let mute = match self.last_progress {
            None => self.timeouts.first_byte,
            Some(_) => None,
        };
        let mute = mute.and_then(|limit| self.begin.checked_add(limit));
        let deadlines = [
            silent,
            mute.map(|at| (at, RelayEnd::FirstByteTimeout)),
            self.too_old.map(|at| (at, RelayEnd::MaxAge)),
        ];
        deadlines.into_iter().flatten().min_by_key(|(at, _)| *at)
    }
}

/// `age` and a random part of the jitter.
fn jittered(age: Duration, timeouts: &Timeouts) -> Duration {
    // Seeded by the operating system; nothing secret depends on it.
    let random = RandomState::new().hash_one(());
    let share = random as f64 / u64::MAX as f64;
    age.saturating_add(timeouts.max_age_jitter.mul_f64(share))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn after(begin: Instant, next: Option<(Instant, RelayEnd)>) -> Option<(u64, RelayEnd)> {
        next.map(|(at, end)| ((at - begin).as_secs(), end))
    }

    #[tokio::test(start_paused = true)]
    async fn the_earliest_decides() {
        let timeouts = Timeouts::default()
            .idle(Some(10 * SECOND))
            .half_closed(Some(5 * SECOND))
            .first_byte(Some(3 * SECOND))
            .max_age(Some(14 * SECOND));
        let mut deadlines = Deadlines::new(&timeouts);
        let begin = Instant::now();
        let next = |deadlines: &Deadlines<'_>, half| after(begin, deadlines.next(half));
        assert_eq!(
            next(&deadlines, false),
            Some((3, RelayEnd::FirstByteTimeout))
        );
        tokio::time::advance(2 * SECOND).await;
        deadlines.note_progress();
        assert_eq!(next(&deadlines, false), Some((12, RelayEnd::IdleTimeout)));
        assert_eq!(
            next(&deadlines, true),
            Some((7, RelayEnd::HalfClosedTimeout))
        );
        tokio::time::advance(6 * SECOND).await;
        deadlines.note_progress();
        assert_eq!(next(&deadlines, false), Some((14, RelayEnd::MaxAge)));
    }

    #[tokio::test(start_paused = true)]
    async fn without_timeouts_there_is_no_deadline() {
        let timeouts = Timeouts::default().idle(None).half_closed(None);
        let deadlines = Deadlines::new(&timeouts);
        assert_eq!(deadlines.next(false), None);
        assert_eq!(deadlines.next(true), None);
        let timeouts = timeouts.idle(Some(Duration::MAX));
        assert_eq!(Deadlines::new(&timeouts).next(false), None);
    }

    #[test]
    fn the_jitter_spreads_ages_and_stays_within_its_bound() {
        let timeouts = Timeouts::default().max_age_jitter(SECOND);
        let ages: Vec<_> = (0..1000).map(|_| jittered(SECOND, &timeouts)).collect();
        assert!(ages.iter().all(|age| (SECOND..=2 * SECOND).contains(age)));
        let late = ages.iter().filter(|age| **age > SECOND * 3 / 2).count();
        assert!(
            (350..650).contains(&late),
            "{late} of 1000 in the upper half"
        );
        let always = Timeouts::default().max_age_jitter(Duration::MAX);
        assert!(jittered(Duration::MAX, &always) == Duration::MAX);
    }
}
