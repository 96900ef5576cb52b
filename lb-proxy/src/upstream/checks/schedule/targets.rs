//! The backends that are probed, and when the next probe of each is due.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::net::SocketAddr;
use std::time::Duration;

use futures::future::AbortHandle;
use tokio::time::Instant;

use crate::health::{CheckSettings, SHORTEST_INTERVAL};
use crate::upstream::checks::reports::Asked;

/// The first probes of backends that wait for them are spread over at most this time.
const LONGEST_FIRST_SPREAD: Duration = Duration::from_secs(1);

/// The backends that are probed, and the next probe of each.
#[derive(Debug, Default)]
pub(super) struct Targets {
    by_addr: HashMap<SocketAddr, Target>,
    /// Entries with another token than their backend's are outdated.
    due: BinaryHeap<Reverse<Due>>,
    next_token: u64,
    spread: Spread,
}

/// The next probe of a backend.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Due {
    pub(super) at: Instant,
    pub(super) addr: SocketAddr,
    token: u64,
}

/// A backend that is probed.
#[derive(Debug)]
pub(super) struct Target {
    token: u64,
    /// The part of an interval that the second probe follows the first one after, if that is not a whole one.
    second: Option<f64>,
    /// The probe under way.
    pub(super) probe: Option<AbortHandle>,
    pub(super) asked: Asked,
}

/// Even shares of an interval, for any number of backends: multiples of the golden ratio.
#[derive(Debug, Default)]
pub(super) struct Spread(u32);

impl Spread {
    pub(super) fn next(&mut self) -> f64 {
        let share = f64::from(self.0) / 2_f64.powi(32);
        self.0 = self.0.wrapping_add(0x9e37_79b9);
        share
    }
}

impl Targets {
    pub(super) fn is_empty(&self) -> bool {
        self.by_addr.is_empty()
    }

    /// Adds backends. Their probes are spread over the interval.
    pub(super) fn add(
        &mut self,
        addrs: impl IntoIterator<Item = SocketAddr>,
        settings: &CheckSettings,
    ) {
        let begin = Instant::now();
        let interval = settings.interval;
        let spread = match settings.initial.is_up() {
            true => interval,
            false => interval.min(LONGEST_FIRST_SPREAD),
        };
        // If the first probes are close to each other, the second ones spread them over the interval.
        let second = 1.0 - spread.as_secs_f64() / interval.as_secs_f64();
        for addr in addrs {
            let share = self.spread.next();
            let due = Due {
                at: begin + spread.mul_f64(share),
                addr,
                token: self.next_token,
            };
            self.next_token += 1;
            let target = Target {
                token: due.token,
                second: (second > 0.0).then_some(second * share),
                probe: None,
                asked: Asked::default(),
            };
            self.by_addr.insert(addr, target);
            self.due.push(Reverse(due));
        }
    }

    /// Removes a backend, and drops its probe.
    pub(super) fn remove(&mut self, addr: SocketAddr) {
        let target = self.by_addr.remove(&addr);
        if let Some(probe) = target.and_then(|target| target.probe) {
            probe.abort();
        }
    }

    /// Forgets what backends have asked for, so that the next answer counts as a change.
    pub(super) fn forget_asked(&mut self) {
        let targets = self.by_addr.values_mut();
        targets.for_each(|target| target.asked = Asked::default());
    }

    /// The backend that `due` is about, unless it has been replaced since.
    pub(super) fn get_mut(&mut self, due: Due) -> Option<&mut Target> {
        let target = self.by_addr.get_mut(&due.addr);
        target.filter(|target| target.token == due.token)
    }

    /// The next probe: `Ok` if it is due at `now`, which takes it out, else when it will be.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<Result<Due, Instant>> {
        loop {
            let Reverse(due) = *self.due.peek()?;
            let is_current = self.get_mut(due).is_some();
            if is_current && due.at > now {
                return Some(Err(due.at));
            }
            self.due.pop();
            if is_current {
                return Some(Ok(due));
            }
        }
    }

    /// Schedules the next probe of the backend whose probe was due at `due.at` and began at `begin`.
    pub(super) fn schedule_next(
        &mut self,
        due: Due,
        begin: Instant,
        interval: Duration,
        jitter: Duration,
    ) {
        let Some(target) = self.get_mut(due) else {
            return;
        };
        target.probe = None;
        let interval = match target.second.take() {
            Some(part) => interval.mul_f64(part).max(SHORTEST_INTERVAL),
            None => interval,
        };
        // A thread that did not run for some time begins many probes at once. Counted from when they were due, the next ones are spread again.
        let late = begin.saturating_duration_since(due.at);
        let from = if late < interval / 2 { due.at } else { begin };
        let at = (from + interval + jitter).max(Instant::now());
        self.due.push(Reverse(Due { at, ..due }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_even() {
        let mut spread = Spread::default();
        let mut shares: Vec<f64> = (0..100).map(|_| spread.next()).collect();
        shares.sort_by(f64::total_cmp);
        let gaps = shares.windows(2).map(|pair| pair[1] - pair[0]);
        assert!(gaps.clone().all(|gap| gap > 0.003 && gap < 0.03));
    }
}
