//! When a relay ends for want of time.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use tokio::time::Instant;

use super::RelayEnd;
use crate::config::Timeouts;

/// How long a peer may take nothing where there is no idle time-out, once the session has to end; and the least that a
/// peer has whose kernel answers.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long a session that has ended waits for a peer to take what there is for it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// Since when nothing has moved.
    pub(super) since: Instant,
    /// How long the peer's kernel may not answer.
    unanswered: Duration,
    /// How long a peer whose kernel answers may take nothing.
    untaken: Duration,
}

impl Patience {
    /// How much is left at `now` for a peer whose kernel was last seen to answer, and to take bytes, then.
    pub(super) fn left(self, answered: Instant, taken: Instant, now: Instant) -> Duration {
        let answering = self.unanswered.saturating_sub(now - answered);
        answering.min(self.untaken.saturating_sub(now - taken))
    }

    /// How much of `most` is left at `now`, whatever the peer takes. It is no longer than the idle time-out.
    pub(super) fn left_of(self, most: Duration, now: Instant) -> Duration {
        most.min(self.unanswered).saturating_sub(now - self.since)
    }
}

/// The time-outs of one relay, and what they count from.
#[derive(Debug)]
pub(super) struct Deadlines<'a> {
    timeouts: &'a Timeouts,
    begin: Instant,
    last_progress: Option<Instant>,
    too_old: Option<Instant>,
    /// The session was cut: it only delivers what it has.
    is_cut: bool,
}

/// What a relay waits for.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Waiting {
    /// A stream has ended.
    pub(super) is_half_closed: bool,
    /// Bytes are held that a peer has to take.
    pub(super) is_holding: bool,
    /// They come from a side that broke: there is nothing else to wait for.
    pub(super) is_delivering: bool,
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
            is_cut: false,
        }
    }

    /// Bytes or an end moved.
    pub(super) fn note_progress(&mut self) {
        self.last_progress = Some(Instant::now());
    }

    /// A peer took bytes so long ago.
    pub(super) fn note_taken(&mut self, ago: Duration) {
        let taken = Instant::now().checked_sub(ago);
        self.last_progress = self.last_progress.max(taken);
    }

    /// From now on only a peer that takes nothing ends the session.
    pub(super) fn note_cut(&mut self) {
        self.is_cut = true;
    }

    pub(super) const fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// How long the session waits for its peers once it has ended. An idle time-out that has passed already counts.
    pub(super) fn patience(&self) -> Patience {
        let unanswered = self.timeouts.idle.unwrap_or(PATIENCE);
        let since = match self.timeouts.idle {
            Some(_) => self.last_progress.unwrap_or(self.begin),
            None => Instant::now(),
        };
        Patience {
            since,
            unanswered,
            untaken: unanswered.max(PATIENCE),
        }
    }

    /// The next deadline, and how the relay ends if nothing moves until then.
    pub(super) fn next(&self, waiting: Waiting) -> Option<(Instant, RelayEnd)> {
        if self.is_cut {
            let since = self.last_progress.unwrap_or(self.begin);
            let end = since.checked_add(self.patience().untaken)?;
            return Some((end, RelayEnd::MaxAge));
        }
        let (limit, end) = if waiting.is_half_closed && !waiting.is_holding {
            (self.timeouts.half_closed, RelayEnd::HalfClosedTimeout)
        } else {
            let idle = self.timeouts.idle;
            let least = if waiting.is_delivering {
                PATIENCE
            } else {
                Duration::ZERO
            };
            (idle.map(|idle| idle.max(least)), RelayEnd::IdleTimeout)
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
        let next = |deadlines: &Deadlines<'_>, is_half_closed| {
            let waiting = Waiting {
                is_half_closed,
                ..Waiting::default()
            };
            after(begin, deadlines.next(waiting))
        };
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
        let half_closed = Waiting {
            is_half_closed: true,
            ..Waiting::default()
        };
        assert_eq!(deadlines.next(Waiting::default()), None);
        assert_eq!(deadlines.next(half_closed), None);
        let timeouts = timeouts.idle(Some(Duration::MAX));
        assert_eq!(Deadlines::new(&timeouts).next(Waiting::default()), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_has_to_take_bytes_has_the_idle_timeout() {
        let timeouts = Timeouts::default()
            .idle(Some(10 * SECOND))
            .half_closed(Some(5 * SECOND))
            .max_age(Some(8 * SECOND));
        let mut deadlines = Deadlines::new(&timeouts);
        let begin = Instant::now();
        let waiting = Waiting {
            is_half_closed: true,
            is_holding: true,
            is_delivering: false,
        };
        assert_eq!(
            after(begin, deadlines.next(waiting)),
            Some((8, RelayEnd::MaxAge))
        );
        tokio::time::advance(8 * SECOND).await;
        deadlines.note_cut();
        let next = |deadlines: &Deadlines<'_>| after(begin, deadlines.next(waiting));
        assert_eq!(next(&deadlines), Some((60, RelayEnd::MaxAge)));
        deadlines.note_taken(2 * SECOND);
        assert_eq!(next(&deadlines), Some((66, RelayEnd::MaxAge)));
        deadlines.note_taken(3 * SECOND);
        assert_eq!(next(&deadlines), Some((66, RelayEnd::MaxAge)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_the_last_bytes_of_a_broken_side_has_a_minute_at_least() {
        for (idle, expected) in [(2, 60), (90, 90)] {
            let timeouts = Timeouts::default().idle(Some(idle * SECOND));
            let deadlines = Deadlines::new(&timeouts);
            let begin = Instant::now();
            let waiting = Waiting {
                is_half_closed: true,
                is_holding: true,
                is_delivering: true,
            };
            let next = after(begin, deadlines.next(waiting));
            assert_eq!(next, Some((expected, RelayEnd::IdleTimeout)));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_timeout_that_has_passed_is_not_waited_for_again() {
        let timeouts = Timeouts::default().idle(Some(10 * SECOND));
        let deadlines = Deadlines::new(&timeouts);
        let begin = Instant::now();
        tokio::time::advance(10 * SECOND).await;
        let (patience, now) = (deadlines.patience(), Instant::now());
        assert_eq!(patience.since, begin);
        // A kernel that does not answer has had its time. A slow reader has a minute.
        assert_eq!(patience.left(begin, begin, now), Duration::ZERO);
        assert_eq!(patience.left(now, begin, now), 10 * SECOND);
        let later = now + 60 * SECOND;
        assert_eq!(patience.left(later, later - 55 * SECOND, later), 5 * SECOND);
        assert_eq!(
            patience.left(later, later - 60 * SECOND, later),
            Duration::ZERO
        );
        assert_eq!(patience.left_of(5 * SECOND, now), Duration::ZERO);
        assert_eq!(patience.left_of(20 * SECOND, begin), 10 * SECOND);
        let endless = Timeouts::default().idle(None);
        let deadlines = Deadlines::new(&endless);
        tokio::time::advance(100 * SECOND).await;
        let (patience, now) = (deadlines.patience(), Instant::now());
        assert_eq!(patience.left(patience.since, patience.since, now), PATIENCE);
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
