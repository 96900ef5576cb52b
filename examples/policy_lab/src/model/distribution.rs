//! Distributions of times.

use lb_core::Rng;

use super::random::unit;
use crate::scenario::Distribution;

/// The longest drawn time in nanoseconds: an hour.
const LONGEST: f64 = 3.6e12;

/// The randomness of one time, drawn before its distribution is known. So a connection has an equally heavy demand under
/// every policy.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Draw {
    /// Above 0, at most 1.
    first: f64,
    second: f64,
}

impl Draw {
    pub(crate) fn new(rng: &mut dyn Rng) -> Self {
        Self {
            first: 1.0 - unit(rng),
            second: unit(rng),
        }
    }

    /// The time in nanoseconds, multiplied by `factor`.
    pub(crate) fn of(self, distribution: Distribution, factor: f64) -> u64 {
        let nanos = match distribution {
            Distribution::Constant(time) => time.nanos() as f64,
            Distribution::Exponential(mean) => -self.first.ln() * mean.nanos() as f64,
            Distribution::LogNormal { median, sigma } => {
                // Box and Muller's normal variate.
                let radius = (-2.0 * self.first.ln()).sqrt();
                let normal = radius * (std::f64::consts::TAU * self.second).cos();
                median.nanos() as f64 * (sigma.get() * normal).exp()
            }
            Distribution::Pareto { least, alpha } => {
                least.nanos() as f64 * self.first.powf(-1.0 / alpha.get())
            }
        };
        (nanos * factor).min(LONGEST) as u64
    }

    /// A draw that gives the median of a distribution, or a time close to it.
    pub(crate) const fn middle() -> Self {
        Self {
            first: 0.5,
            second: 0.25,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Stream;
    use crate::scenario::{Alpha, Time};

    fn mean(distribution: Distribution) -> f64 {
        let mut rng = Stream::Clients.generator(1);
        let n = 200_000;
        let sum: f64 = (0..n)
            .map(|_| Draw::new(&mut rng).of(distribution, 1.0) as f64)
            .sum();
        sum / f64::from(n) / 1e6
    }

    #[test]
    fn means_are_those_of_the_distributions() {
        let ms = Time::from_millis(10);
        assert!((mean(Distribution::Constant(ms)) - 10.0).abs() < 1e-9);
        assert!((mean(Distribution::Exponential(ms)) - 10.0).abs() < 0.2);
        let sigma = 0.5.try_into().unwrap();
        let log_normal = Distribution::LogNormal { median: ms, sigma };
        // exp(sigma^2 / 2)
        assert!((mean(log_normal) - 10.0 * 0.125_f64.exp()).abs() < 0.2);
        let alpha: Alpha = 3.0.try_into().unwrap();
        let pareto = Distribution::Pareto { least: ms, alpha };
        // alpha / (alpha - 1)
        assert!((mean(pareto) - 15.0).abs() < 0.3);
    }

    #[test]
    fn no_time_is_endless() {
        let first = f64::MIN_POSITIVE;
        let draw = Draw { first, second: 0.0 };
        let alpha = 1.01.try_into().unwrap();
        let least = Time::from_millis(86_400_000);
        assert_eq!(
            draw.of(Distribution::Pareto { least, alpha }, 1000.0),
            3_600_000_000_000
        );
    }
}
