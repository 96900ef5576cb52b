//! The arrivals of connections.

use lb_core::SplitMix64;

use super::random::{Stream, unit};
use crate::scenario::{Burst, Scenario};

/// The times of arrival in nanoseconds: a Poisson process with a higher (or lower) rate in bursts.
///
/// Candidates arrive at the highest rate and are thinned to the current rate (Lewis and Shedler, 1979).
#[derive(Clone, Debug)]
pub(crate) struct Arriving {
    rng: SplitMix64,
    /// Connections per second.
    rate: f64,
    burst: Option<Burst>,
    /// In seconds.
    now: f64,
    end: f64,
}

impl Arriving {
    pub(crate) fn new(scenario: &Scenario, seed: u64) -> Self {
        Self {
            rng: Stream::Arrivals.generator(seed),
            rate: scenario.arrivals.rate.get(),
            burst: scenario.arrivals.burst,
            now: 0.0,
            end: scenario.duration.seconds(),
        }
    }

    /// The rate at `now`, as a multiple of the usual rate.
    fn factor(&self, now: f64) -> f64 {
        let in_burst = |burst: &Burst| {
            let every = burst.every.get().seconds();
            now >= every && now % every < burst.lasts.get().seconds()
        };
        let burst = self.burst.filter(in_burst);
        burst.map_or(1.0, |burst| burst.factor.get())
    }
}

impl Iterator for Arriving {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        let peak = self.burst.map_or(1.0, |b| b.factor.get().max(1.0));
        loop {
            self.now += -(1.0 - unit(&mut self.rng)).ln() / (self.rate * peak);
            if self.now >= self.end {
                return None;
            }
            if unit(&mut self.rng) * peak < self.factor(self.now) {
                return Some((self.now * 1e9) as u64);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bursts_come_on_time_with_their_rate() {
        let text = r#"
            duration = "100s"
            arrivals = { rate = 100, burst = { every = "10s", for = "1s", factor = 5 } }
            backends = [{ name = "a", service = { constant = "1ms" } }]
        "#;
        let scenario = Scenario::parse("test", text).unwrap();
        let mut burst = 0.0;
        let mut calm = 0.0;
        for nanos in Arriving::new(&scenario, 1) {
            let seconds = nanos as f64 / 1e9;
            if seconds >= 10.0 && seconds % 10.0 < 1.0 {
                burst += 1.0;
            } else {
                calm += 1.0;
            }
        }
        assert!((burst / 9.0 - 500.0_f64).abs() < 30.0, "{burst}");
        assert!((calm / 91.0 - 100.0_f64).abs() < 5.0, "{calm}");
    }
}
