//! Slow start: a backend that joins or recovers gets its share gradually.
//!
//! Envoy's formula (`slow_start_config`): a backend counts with `weight * max(min_weight_percent, (time / window) ^
//! (1 / aggression))`. As in HAProxy's `slowstart` it begins when a backend joins a running balancer or recovers, never
//! when the process starts: the backends of the first snapshot are warm.
//!
//! A backend in slow start takes a turn with that chance, else the next turn decides. So the others keep their
//! proportions and nothing is compiled again. Hashing policies ignore slow start, as nginx's do, and so does `first`.

use std::time::Duration;

use crate::time::Timestamp;

/// How the share of a new backend grows.
#[doc(alias = "slowstart", alias = "slow_start_config", alias = "warm up")]
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SlowStart {
    /// How long it takes until the full share.
    #[cfg_attr(
        feature = "serde",
        serde(alias = "slow_start_window", with = "crate::serde_form::DurationForm")
    )]
    pub window: Duration,
    /// The share at the beginning, in percent. Default: 10, as Envoy's.
    #[cfg_attr(
        feature = "serde",
        serde(
            alias = "min_weight_percent",
            default = "default_min_percent",
            with = "crate::serde_form::Percent::<0, 100>"
        )
    )]
    pub min_percent: u8,
    /// Above 1 the share grows fast at first, below 1 slowly. Default: 1, linear.
    #[cfg_attr(
        feature = "serde",
        serde(
            default = "default_aggression",
            deserialize_with = "deserialize_aggression"
        )
    )]
    #[cfg_attr(feature = "schema", schemars(extend("exclusiveMinimum" = 0)))]
    pub aggression: f64,
}

#[cfg(feature = "serde")]
const fn default_min_percent() -> u8 {
    SlowStart::new(Duration::ZERO).min_percent
}

#[cfg(feature = "serde")]
const fn default_aggression() -> f64 {
    SlowStart::new(Duration::ZERO).aggression
}

#[cfg(feature = "serde")]
fn deserialize_aggression<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<f64, D::Error> {
    use serde::de::{Deserialize, Error, Unexpected};
    let aggression = f64::deserialize(deserializer)?;
    if aggression.is_finite() && aggression > 0.0 {
        return Ok(aggression);
    }
    let expected = &"a number above 0; 1 is a straight line";
    Err(D::Error::invalid_value(
        Unexpected::Float(aggression),
        expected,
    ))
}

impl SlowStart {
    /// A full share after `window`, everything else as Envoy's defaults.
    pub const fn new(window: Duration) -> Self {
        Self {
            window,
            min_percent: 10,
            aggression: 1.0,
        }
    }

    /// Sets [`min_percent`](field@Self::min_percent). Above 100 as 100.
    #[must_use]
    pub const fn min_percent(mut self, percent: u8) -> Self {
        self.min_percent = if percent > 100 { 100 } else { percent };
        self
    }

    /// Sets [`aggression`](field@Self::aggression). 0, negative numbers and NaN mean 1.
    #[must_use]
    pub fn aggression(mut self, aggression: f64) -> Self {
        self.aggression = if aggression > 0.0 { aggression } else { 1.0 };
        self
    }

    /// The part of its share, in 2^32ths, of a backend in slow start since `since`; `None` for the whole.
    pub(crate) fn part(&self, since: Timestamp, now: Timestamp) -> Option<u32> {
        let time = now.saturating_since(since);
        if time >= self.window {
            return None;
        }
        let mut part = time.as_secs_f64() / self.window.as_secs_f64();
        if self.aggression != 1.0 {
            part = part.powf(1.0 / self.aggression);
        }
        let part = part.max(f64::from(self.min_percent) / 100.0);
        // The conversion saturates.
        Some((part * 2_f64.powi(32)) as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn percent(slow: SlowStart, seconds: u64) -> Option<f64> {
        let now = Timestamp::from_nanos(seconds * 1_000_000_000);
        let part = slow.part(Timestamp::default(), now)?;
        Some((f64::from(part) * 100.0 / 2_f64.powi(32)).round())
    }

    #[test]
    fn the_share_grows_by_envoys_formula() {
        let slow = SlowStart::new(Duration::from_secs(100));
        let percents = |slow| [0, 5, 50, 99, 100].map(|s| percent(slow, s));
        assert_eq!(
            percents(slow),
            [Some(10.0), Some(10.0), Some(50.0), Some(99.0), None]
        );
        let fast = slow.aggression(2.0).min_percent(0);
        assert_eq!(
            percents(fast),
            [Some(0.0), Some(22.0), Some(71.0), Some(99.0), None]
        );
    }

    #[test]
    fn extreme_settings_are_clamped() {
        let slow = SlowStart::new(Duration::ZERO).aggression(f64::NAN);
        assert_eq!(percent(slow, 0), None);
        let slow = SlowStart::new(Duration::MAX).min_percent(200);
        assert_eq!(percent(slow, 5), Some(100.0));
    }
}
