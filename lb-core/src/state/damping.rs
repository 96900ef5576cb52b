//! Damping, nginx's effective weight: a backend that failed gets fewer connections for some time.
//!
//! A failure takes `weight / max_fails` off the backend's effective weight, which then grows by one with every pick
//! until it is whole (`effective_weight` in `ngx_stream_upstream_round_robin.c`). So a backend loses part of its
//! share before it is ejected, and regains it gradually. nginx computes the order of its round robin with the effective
//! weight; so do policies that read all backends of a small tier ([`Damping::take`]). In larger tiers a turn is taken
//! with the chance effective weight / weight, which gives the same shares on average but not nginx's order.

use crate::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What is missing from the weight of one backend, and since which turn of its tier it has been growing back.
#[doc(alias = "effective_weight")]
#[derive(Debug)]
pub(crate) struct Damping(AtomicU64);

/// Nothing is missing.
const WHOLE: u64 = 0;
/// The turn is not known yet: the backend had no turn since it failed.
const UNSEEN: u64 = (1 << 48) - 1;
/// A thread that was overtaken is at most this many turns behind. A larger distance means another counter, or one that
/// has wrapped.
const LATE: u64 = 1 << 10;

impl Damping {
    pub(crate) fn new() -> Self {
        Self(AtomicU64::new(WHOLE))
    }

    pub(crate) fn is_whole(&self) -> bool {
        self.0.load(Relaxed) == WHOLE
    }

    /// Takes the part of one failure off `weight`.
    pub(crate) fn failed(&self, weight: u16, max_fails: u32) {
        let part = u32::from(weight).checked_div(max_fails).unwrap_or(0) as u16;
        let damped = |word| {
            let missing = (word as u16).saturating_add(part).min(weight);
            (missing > 0).then(|| UNSEEN << 16 | u64::from(missing))
        };
        // The closure returns nothing where the part is 0.
        let _ = self.0.fetch_update(Relaxed, Relaxed, damped);
    }

    /// The effective weight for turn number `turn` of the tier, where the weight is `weight`.
    pub(crate) fn effective(&self, weight: u16, turn: u64) -> u16 {
        let word = self.0.load(Relaxed);
        let left = after(word, turn);
        if left != word {
            // Stored, so that the next failure takes its part off what has grown back. If another thread stored its own
            // result meanwhile, that one is as good.
            let _ = self.0.compare_exchange(word, left, Relaxed, Relaxed);
        }
        weight.saturating_sub(left as u16)
    }

    /// The same without changing anything: for a dry run, which keeps in `seen` what would have changed.
    pub(crate) fn preview(&self, seen: &mut Option<u64>, weight: u16, turn: u64) -> u16 {
        let left = after(seen.unwrap_or_else(|| self.0.load(Relaxed)), turn);
        *seen = Some(left);
        weight.saturating_sub(left as u16)
    }

    /// The effective weight for a pick of a policy that compares the effective weights of all, which then grows by one.
    pub(crate) fn take(&self, weight: u16) -> u16 {
        let grown = |word| match word as u16 {
            0 => None,
            1 => Some(WHOLE),
            missing => Some(UNSEEN << 16 | u64::from(missing - 1)),
        };
        let (Ok(before) | Err(before)) = self.0.fetch_update(Relaxed, Relaxed, grown);
        weight.saturating_sub(before as u16)
    }

    /// The same without the growth.
    pub(crate) fn peek(&self, weight: u16) -> u16 {
        weight.saturating_sub(self.0.load(Relaxed) as u16)
    }
}

/// What is left of `word` at turn number `turn`.
fn after(word: u64, turn: u64) -> u64 {
    if word == WHOLE {
        return WHOLE;
    }
    let (since, missing, turn) = (word >> 16, word as u16, turn % UNSEEN);
    if since == UNSEEN {
        return turn << 16 | u64::from(missing);
    }
    let turns = (turn + UNSEEN - since) % UNSEEN;
    if UNSEEN - turns <= LATE {
        return word;
    }
    let grown = u16::try_from(turns).unwrap_or(u16::MAX);
    match missing.saturating_sub(grown) {
        0 => WHOLE,
        missing => turn << 16 | u64::from(missing),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_takes_its_part_and_each_turn_returns_one() {
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
    fn the_next_failure_counts_from_what_has_grown_back() {
        let damping = Damping::new();
        damping.failed(10, 3);
        assert_eq!(damping.effective(10, 100), 7);
        assert_eq!(damping.effective(10, 102), 9);
        damping.failed(10, 3);
        assert_eq!(damping.effective(10, 103), 6);
    }

    #[test]
    fn a_thread_that_was_overtaken_restores_nothing() {
        let damping = Damping::new();
        damping.failed(10, 1);
        assert_eq!(damping.effective(10, 6), 0);
        assert_eq!(damping.effective(10, 5), 0);
        assert_eq!(damping.effective(10, 7), 1);
    }

    #[test]
    fn the_effective_weight_saturates_at_0_and_always_recovers() {
        let damping = Damping::new();
        for _ in 0..5 {
            damping.failed(3, 1);
        }
        assert_eq!(damping.effective(3, 1 << 40), 0);
        assert_eq!(damping.effective(3, 0), 3, "another counter");
        damping.failed(5, 0);
        damping.failed(1, 2);
        assert!(damping.is_whole(), "parts of 0");
    }
}
