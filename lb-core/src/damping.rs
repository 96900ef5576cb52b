//! nginx's damped weight: a backend that failed gets less until it has proved itself.
//!
//! A failure takes `weight / max_fails` off the backend's effective weight, which then grows by one with every pick
//! until it is whole (`effective_weight` in `ngx_stream_upstream_round_robin.c`). So a backend loses its share before
//! it is ejected, and gets it back little by little. nginx weighs the order of its round robin with it; here a turn is
//! taken with the chance that effective weight and weight make, which gives the same shares on average.

use crate::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What is missing from the weight of one backend, and since which turn of its tier it has been growing back.
#[derive(Debug)]
pub(crate) struct Damping(AtomicU64);

/// Nothing is missing.
const WHOLE: u64 = 0;
/// The turn is not known yet: the backend had none since it failed.
const UNSEEN: u64 = (1 << 48) - 1;

impl Damping {
    pub(crate) fn new() -> Self {
        Self(AtomicU64::new(WHOLE))
    }

    pub(crate) fn is_whole(&self) -> bool {
        self.0.load(Relaxed) == WHOLE
    }

    /// Takes the part of a failure off `weight`.
    pub(crate) fn failed(&self, weight: u16, max_fails: u32) {
        let part = u32::from(weight).checked_div(max_fails).unwrap_or(0) as u16;
        let damped = |word| {
            let missing = (word as u16).saturating_add(part).min(weight);
            (missing > 0).then(|| UNSEEN << 16 | u64::from(missing))
        };
        // Refused where the part is nothing.
        let _ = self.0.fetch_update(Relaxed, Relaxed, damped);
    }

    /// The effective weight for turn number `turn` of the tier, where the weight is `weight`.
    pub(crate) fn effective(&self, weight: u16, turn: u64) -> u16 {
        let word = self.0.load(Relaxed);
        if word == WHOLE {
            return weight;
        }
        let (since, missing, turn) = (word >> 16, word as u16, turn % UNSEEN);
        if since == UNSEEN {
            let seen = turn << 16 | u64::from(missing);
            // Somebody else's word is as good.
            let _ = self.0.compare_exchange(word, seen, Relaxed, Relaxed);
            return weight.saturating_sub(missing);
        }
        // Where the number has wrapped the weight is whole at once.
        let grown = u16::try_from(turn.saturating_sub(since)).unwrap_or(u16::MAX);
        let missing = missing.saturating_sub(grown);
        if missing == 0 || turn < since {
            let _ = self.0.compare_exchange(word, WHOLE, Relaxed, Relaxed);
            return weight;
        }
        weight.saturating_sub(missing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_takes_its_part_and_each_turn_gives_one_back() {
        let damping = Damping::new();
        assert_eq!(damping.effective(10, 3), 10);
        damping.failed(10, 3);
        assert_eq!(damping.effective(10, 100), 7);
        damping.failed(10, 3);
        damping.failed(10, 3);
        assert_eq!(damping.effective(10, 200), 1);
        let grown = [201, 205, 208, 209].map(|turn| damping.effective(10, turn));
        assert_eq!(grown, [2, 6, 9, 10]);
        assert!(damping.is_whole());
    }

    #[test]
    fn never_below_nothing_and_never_stuck() {
        let damping = Damping::new();
        for _ in 0..5 {
            damping.failed(3, 1);
        }
        assert_eq!(damping.effective(3, u64::MAX), 0);
        assert_eq!(
            damping.effective(3, 0),
            3,
            "the number of turns has wrapped"
        );
        damping.failed(5, 0);
        damping.failed(1, 2);
        assert!(damping.is_whole(), "parts of nothing");
    }
}
