//! Numbers of a scenario, valid by construction: serde reports an invalid one at its place in the file.

use std::time::Duration;

use lb_core::serde_form::parse_duration;
use serde::Deserialize;

/// The longest time in a scenario. It keeps sums of times far from the range of the clock.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// A time such as `"250us"`, `"5ms"`, `"1.5s"`, `"2m"` or `"1h"`, at most a day.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd)]
#[serde(try_from = "String")]
pub(crate) struct Time(Duration);

impl Time {
    pub(crate) const ZERO: Self = Self(Duration::ZERO);

    pub(crate) const fn from_millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }

    pub(crate) const fn nanos(self) -> u64 {
        // Below a day by construction.
        self.0.as_nanos() as u64
    }

    pub(crate) const fn seconds(self) -> f64 {
        self.0.as_secs_f64()
    }

    /// The time `nanos` nanoseconds later, unless that is more than a day.
    pub(crate) fn after(self, nanos: u64) -> Option<Self> {
        let later = self.0.checked_add(Duration::from_nanos(nanos))?;
        (later <= LONGEST).then_some(Self(later))
    }

    pub(crate) const fn duration(self) -> Duration {
        self.0
    }
}

impl TryFrom<String> for Time {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let time = parse_duration(&text).map_err(|error| error.to_string())?;
        match time <= LONGEST {
            true => Ok(Self(time)),
            false => Err(format!("\"{text}\" is too long: use at most \"24h\"")),
        }
    }
}

/// A time above zero.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd)]
#[serde(try_from = "Time")]
pub(crate) struct Positive(Time);

impl Positive {
    pub(crate) const fn get(self) -> Time {
        self.0
    }
}

impl TryFrom<Time> for Positive {
    type Error = &'static str;

    fn try_from(time: Time) -> Result<Self, Self::Error> {
        if time == Time::ZERO {
            return Err("this time must be longer than zero");
        }
        Ok(Self(time))
    }
}

/// Declares a number with a range that serde checks.
macro_rules! bounded {
    ($(#[$doc:meta])* $name:ident, $holds:expr, $demand:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Deserialize, PartialEq, PartialOrd)]
        #[serde(try_from = "f64")]
        pub(crate) struct $name(f64);

        impl $name {
            pub(crate) const fn get(self) -> f64 {
                self.0
            }
        }

        impl TryFrom<f64> for $name {
            type Error = String;

            fn try_from(value: f64) -> Result<Self, String> {
                let holds: fn(f64) -> bool = $holds;
                if holds(value) {
                    Ok(Self(value))
                } else {
                    Err(format!(concat!("{} is out of range: ", $demand), value))
                }
            }
        }
    };
}

bounded!(
    /// Connections per second.
    Rate, |x| x > 0.0 && x <= 1e6, "a rate is above 0 and at most 1000000 connections per second"
);
bounded!(
    /// A multiple of a number or a time.
    Factor, |x| (0.01..=1000.0).contains(&x), "a factor is from 0.01 to 1000"
);
bounded!(
    /// A probability.
    Probability, |x| (0.0..=1.0).contains(&x), "a probability is from 0 to 1"
);
bounded!(
    /// The exponent of a Zipf distribution.
    Zipf, |x| (0.0..=5.0).contains(&x), "an exponent of Zipf is from 0 (uniform) to 5"
);
bounded!(
    /// The shape of a log-normal distribution.
    Sigma, |x| (0.0..=5.0).contains(&x), "sigma is from 0 (constant) to 5"
);
bounded!(
    /// The shape of a Pareto distribution.
    Alpha, |x| x > 1.0 && x <= 100.0, "alpha is above 1, so that there is a mean, and at most 100"
);

impl Probability {
    pub(crate) const NEVER: Self = Self(0.0);
}

impl Zipf {
    pub(crate) const UNIFORM: Self = Self(0.0);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Result<Time, String> {
        Time::try_from(text.to_owned())
    }

    #[test]
    fn times_have_units() {
        assert_eq!(time("250us").unwrap().nanos(), 250_000);
        assert_eq!(time("1.5s"), Ok(Time::from_millis(1500)));
        assert_eq!(time("2m"), Ok(Time::from_millis(120_000)));
        for wrong in ["", "5", "ms", "-5ms", "1.2.3s", "é"] {
            assert!(
                time(wrong).unwrap_err().contains("is not a time"),
                "{wrong}"
            );
        }
        assert!(time("25h").unwrap_err().contains("too long"));
        assert!(Positive::try_from(Time::ZERO).is_err());
    }

    #[test]
    fn ranges_exclude_nan_and_infinity() {
        assert!(Rate::try_from(f64::NAN).is_err());
        assert!(Probability::try_from(f64::INFINITY).is_err());
        assert!(Alpha::try_from(1.0).is_err());
        assert!(Rate::try_from(0.5).is_ok());
    }
}
