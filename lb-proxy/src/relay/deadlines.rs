//! The deadlines of a relay.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use tokio::time::Instant;

use super::RelayEnd;
use crate::config::Timeouts;

/// The delivery time-out of a session without an idle time-out, and the minimum while the peer's kernel answers.
const MIN_DELIVERY: Duration = Duration::from_secs(60);

/// How long a session that has ended waits for its peers to receive everything.
#[derive(Clone, Copy, Debug)]
pub(super) struct DeliveryTimeout {
    /// The last progress.
    pub(super) since: Instant,
    /// The time-out while the peer's kernel does not answer.
    unanswered: Duration,
    /// The time-out while the peer's kernel answers but accepts no bytes.
    untaken: Duration,
}

impl DeliveryTimeout {
    /// The time left at `now`, if the peer's kernel last answered at `answered` and last accepted bytes at `taken`.
    pub(super) fn left(self, answered: Instant, taken: Instant, now: Instant) -> Duration {
        let answering = self.unanswered.saturating_sub(now - answered);
        answering.min(self.untaken.saturating_sub(now - taken))
    }

    /// Returns the rest of min(`most`, idle time-out) at `now`, counted from the last progress.
    ///
    /// Without an idle time-out 60 s replace it. What the peer accepts does not count.
    pub(super) fn left_of(self, most: Duration, now: Instant) -> Duration {
        most.min(self.unanswered).saturating_sub(now - self.since)
    }
}

/// The time-outs of one relay and the moments that they count from.
#[derive(Debug)]
pub(super) struct Deadlines<'a> {
    timeouts: &'a Timeouts,
    begin: Instant,
    last_progress: Option<Instant>,
    too_old: Option<Instant>,
    /// The session was cut: it only delivers.
    is_cut: bool,
    /// The moment from which the session only delivers.
    delivers_since: Option<Instant>,
}

/// The state of a relay that decides its next deadline.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct WaitState {
    /// A stream has ended.
    pub(super) is_half_closed: bool,
    /// The relay holds bytes for a peer.
    pub(super) is_holding: bool,
    /// The held bytes come from a side that broke, so the session waits for nothing else.
    pub(super) is_delivering: bool,
}

impl WaitState {
    /// Whether both directions are open, and nothing is held.
    pub(super) fn is_open(self) -> bool {
        self == Self::default()
    }
}

impl<'a> Deadlines<'a> {
    /// Counts from `begin`.
    pub(super) fn new(timeouts: &'a Timeouts, begin: Instant) -> Self {
        let max_age = timeouts.max_age.map(|age| jittered(age, timeouts));
        Self {
            timeouts,
            begin,
            last_progress: None,
            too_old: max_age.and_then(|age| begin.checked_add(age)),
            is_cut: false,
            delivers_since: None,
        }
    }

    /// Records that bytes or an end moved.
    pub(super) fn note_progress(&mut self) {
        self.last_progress = Some(Instant::now());
    }

    /// Records that the kernel sent bytes to a peer `ago`.
    pub(super) fn note_sent(&mut self, ago: Duration) {
        let sent = Instant::now().checked_sub(ago);
        self.last_progress = self.last_progress.max(sent);
    }

    /// Records the cut: from now on only a peer that accepts nothing ends the session.
    pub(super) fn note_cut(&mut self) {
        self.is_cut = true;
        self.note_delivering();
    }

    /// Records that the session only delivers from now on. Later calls change nothing.
    pub(super) fn note_delivering(&mut self) {
        self.delivers_since.get_or_insert_with(Instant::now);
    }

    pub(super) const fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// The delivery time-out of a session that ends now. It counts from the last progress.
    pub(super) fn delivery_timeout(&self) -> DeliveryTimeout {
        DeliveryTimeout {
            since: match self.timeouts.idle {
                Some(_) => self.last_moved(),
                None => Instant::now(),
            },
            unanswered: self.timeouts.idle.unwrap_or(MIN_DELIVERY),
            untaken: self.untaken(),
        }
    }

    /// How long a peer that answers may accept none of the last bytes.
    fn untaken(&self) -> Duration {
        self.timeouts.idle.unwrap_or(MIN_DELIVERY).max(MIN_DELIVERY)
    }

    /// The moment of the last progress, or the begin.
    pub(super) fn last_moved(&self) -> Instant {
        self.last_progress.unwrap_or(self.begin)
    }

    /// The moment from which a peer has its time to accept the last bytes: the last progress, but without an idle time-out
    /// not before the session only delivers. Until then the peer had no deadline.
    fn delivers_from(&self) -> Instant {
        match (self.timeouts.idle, self.delivers_since) {
            (None, Some(delivers)) => self.last_moved().max(delivers),
            _ => self.last_moved(),
        }
    }

    /// The next deadline, and the end of the relay if nothing moves until then.
    pub(super) fn next(&self, waiting: WaitState) -> Option<(Instant, RelayEnd)> {
        if self.is_cut {
            let end = self.delivers_from().checked_add(self.untaken())?;
            return Some((end, RelayEnd::MaxAge));
        }
        let idle = RelayEnd::IdleTimeout;
        let (since, limit, end) = if waiting.is_delivering {
            (self.delivers_from(), Some(self.untaken()), idle)
        } else if waiting.is_half_closed && !waiting.is_holding {
            let end = RelayEnd::HalfClosedTimeout;
            (self.last_moved(), self.timeouts.half_closed, end)
        } else {
            (self.last_moved(), self.timeouts.idle, idle)
        };
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
    // Seeded by the operating system. Nothing secret depends on it.
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
    async fn the_earliest_deadline_decides() {
        let timeouts = Timeouts::default()
            .idle(Some(10 * SECOND))
            .half_closed(Some(5 * SECOND))
            .first_byte(Some(3 * SECOND))
            .max_age(Some(14 * SECOND));
        let mut deadlines = Deadlines::new(&timeouts, Instant::now());
        let begin = Instant::now();
        let next = |deadlines: &Deadlines<'_>, is_half_closed| {
            let waiting = WaitState {
                is_half_closed,
                ..WaitState::default()
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
        let deadlines = Deadlines::new(&timeouts, Instant::now());
        let half_closed = WaitState {
            is_half_closed: true,
            ..WaitState::default()
        };
        assert_eq!(deadlines.next(WaitState::default()), None);
        assert_eq!(deadlines.next(half_closed), None);
        let timeouts = timeouts.idle(Some(Duration::MAX));
        assert_eq!(
            Deadlines::new(&timeouts, Instant::now()).next(WaitState::default()),
            None
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_for_which_bytes_are_held_has_the_idle_timeout() {
        let timeouts = Timeouts::default()
            .idle(Some(10 * SECOND))
            .half_closed(Some(5 * SECOND))
            .max_age(Some(8 * SECOND));
        let mut deadlines = Deadlines::new(&timeouts, Instant::now());
        let begin = Instant::now();
        let waiting = WaitState {
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
        deadlines.note_sent(2 * SECOND);
        assert_eq!(next(&deadlines), Some((66, RelayEnd::MaxAge)));
        deadlines.note_sent(3 * SECOND);
        assert_eq!(next(&deadlines), Some((66, RelayEnd::MaxAge)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_receives_the_last_bytes_of_a_broken_side_has_at_least_a_minute() {
        for (idle, expected) in [(Some(2), 60), (Some(90), 90), (None, 60)] {
            let timeouts = Timeouts::default().idle(idle.map(|idle| idle * SECOND));
            let deadlines = Deadlines::new(&timeouts, Instant::now());
            let begin = Instant::now();
            let waiting = WaitState {
                is_half_closed: true,
                is_holding: true,
                is_delivering: true,
            };
            let next = after(begin, deadlines.next(waiting));
            assert_eq!(next, Some((expected, RelayEnd::IdleTimeout)));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn without_an_idle_timeout_the_minute_begins_when_the_session_only_delivers() {
        let timeouts = Timeouts::default().idle(None);
        let waiting = WaitState {
            is_half_closed: true,
            is_holding: true,
            is_delivering: true,
        };
        let mut broken = Deadlines::new(&timeouts, Instant::now());
        let mut cut = Deadlines::new(&timeouts, Instant::now());
        let begin = Instant::now();
        tokio::time::advance(300 * SECOND).await;
        broken.note_delivering();
        cut.note_cut();
        tokio::time::advance(SECOND).await;
        broken.note_delivering();
        let next = after(begin, broken.next(waiting));
        assert_eq!(next, Some((360, RelayEnd::IdleTimeout)));
        let next = after(begin, cut.next(waiting));
        assert_eq!(next, Some((360, RelayEnd::MaxAge)));
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_timeout_that_has_passed_is_not_waited_for_again() {
        let timeouts = Timeouts::default().idle(Some(10 * SECOND));
        let deadlines = Deadlines::new(&timeouts, Instant::now());
        let begin = Instant::now();
        tokio::time::advance(10 * SECOND).await;
        let (delivery_timeout, now) = (deadlines.delivery_timeout(), Instant::now());
        assert_eq!(delivery_timeout.since, begin);
        // The time of a kernel that does not answer is over. A slow reader has a minute.
        assert_eq!(delivery_timeout.left(begin, begin, now), Duration::ZERO);
        assert_eq!(delivery_timeout.left(now, begin, now), 10 * SECOND);
        let later = now + 60 * SECOND;
        assert_eq!(
            delivery_timeout.left(later, later - 55 * SECOND, later),
            5 * SECOND
        );
        assert_eq!(
            delivery_timeout.left(later, later - 60 * SECOND, later),
            Duration::ZERO
        );
        assert_eq!(delivery_timeout.left_of(5 * SECOND, now), Duration::ZERO);
        assert_eq!(delivery_timeout.left_of(20 * SECOND, begin), 10 * SECOND);
        let endless = Timeouts::default().idle(None);
        let deadlines = Deadlines::new(&endless, Instant::now());
        tokio::time::advance(100 * SECOND).await;
        let (delivery_timeout, now) = (deadlines.delivery_timeout(), Instant::now());
        assert_eq!(
            delivery_timeout.left(delivery_timeout.since, delivery_timeout.since, now),
            MIN_DELIVERY
        );
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
