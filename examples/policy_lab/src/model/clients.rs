//! The clients of connections.

use lb_core::{Rng, SplitMix64};

use super::random::{Stream, unit};
use crate::scenario::Clients;

/// Clients with a Zipf distribution: the i-th client has the frequency 1 / i^exponent.
#[derive(Clone, Debug)]
pub(crate) struct Population {
    rng: SplitMix64,
    /// The sum of the frequencies up to each client.
    sums: Vec<f64>,
}

impl Population {
    pub(crate) fn new(clients: &Clients, seed: u64) -> Self {
        let exponent = clients.zipf.get();
        let mut sum = 0.0;
        let frequencies = (1..=clients.count.get_ref().get()).map(|i| f64::from(i).powf(-exponent));
        Self {
            rng: Stream::Clients.generator(seed),
            sums: frequencies
                .map(|frequency| {
                    sum += frequency;
                    sum
                })
                .collect(),
        }
    }

    /// Draws the client of the next connection.
    pub(crate) fn draw(&mut self) -> u64 {
        let all = self.sums.last().copied().unwrap_or_default();
        let at = unit(&mut self.rng) * all;
        self.sums.partition_point(|sum| *sum <= at) as u64
    }
}

/// Shuffles `items`; every order is equally likely (Fisher and Yates).
pub(crate) fn shuffle<T>(items: &mut [T], rng: &mut dyn Rng) {
    for i in (1..items.len()).rev() {
        let bound = std::num::NonZeroU64::MIN.saturating_add(i as u64);
        items.swap(i, rng.below(bound) as usize);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Scenario;

    #[test]
    fn the_first_client_is_the_most_frequent() {
        let text = r#"
            duration = "1s"
            arrivals = { rate = 1 }
            clients = { count = 100, zipf = 1.0 }
            backends = [{ name = "a", service = { constant = "1ms" } }]
        "#;
        let scenario = Scenario::parse("test", text).unwrap();
        let mut population = Population::new(&scenario.clients, 1);
        let mut counts = vec![0.0; 100];
        for _ in 0..100_000 {
            counts[population.draw() as usize] += 1.0;
        }
        assert!((counts[0] / counts[9] - 10.0_f64).abs() < 1.0, "{counts:?}");
        assert!(counts.iter().all(|n| *n > 0.0));
    }
}
