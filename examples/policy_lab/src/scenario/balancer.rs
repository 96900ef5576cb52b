//! The settings of the balancer, as a file gives them.

use std::fmt;
use std::marker::PhantomData;
use std::num::NonZeroU32;

use lb_core::{BalancerConfig, OutlierDetection, SlowStart, Subset, ZonePreference};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, IntoDeserializer, MapAccess, Unexpected, Visitor};
use toml::Spanned;

use super::units::{Aggression, Overprovisioning, Percent, Positive, Time};

/// The settings of lb-core's `BalancerConfig`, under lb-core's names or Envoy's.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct BalancerTable {
    outlier_detection: Option<Switch<OutlierTable>>,
    #[serde(alias = "overprovisioning_factor")]
    overprovisioning: Option<Switch<Overprovisioning>>,
    #[serde(alias = "healthy_panic_threshold")]
    panic_threshold: Option<Switch<Percent>>,
    #[serde(alias = "slow_start_config")]
    slow_start: Option<Switch<SlowStartTable>>,
    subset: Option<Switch<SubsetTable>>,
    zone: Option<Switch<ZoneTable>>,
}

impl BalancerTable {
    /// `base` with these settings in place of its own.
    pub(crate) fn over(&self, base: &BalancerConfig) -> BalancerConfig {
        let mut config = base.clone();
        let set = &mut config;
        replace(
            &mut set.outlier_detection,
            &self.outlier_detection,
            OutlierTable::detection,
        );
        replace(&mut set.overprovisioning, &self.overprovisioning, |x| {
            factor(*x)
        });
        replace(
            &mut set.slow_start,
            &self.slow_start,
            SlowStartTable::slow_start,
        );
        replace(&mut set.subset, &self.subset, SubsetTable::subset);
        replace(&mut set.zone, &self.zone, ZoneTable::preference);
        match &self.panic_threshold {
            // The method turns 0 into off.
            Some(Switch::On(threshold)) => config.panic_threshold(percent(*threshold)),
            Some(Switch::Off) => config.panic_threshold(0),
            None => config,
        }
    }

    /// The preferred zone.
    pub(crate) const fn zone(&self) -> Option<&Spanned<String>> {
        match &self.zone {
            Some(Switch::On(table)) => Some(&table.zone),
            _ => None,
        }
    }
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct OutlierTable {
    #[serde(alias = "consecutive_5xx")]
    consecutive_failures: Option<NonZeroU32>,
    #[serde(alias = "base_ejection_time")]
    base_ejection: Option<Positive>,
    #[serde(alias = "max_ejection_time")]
    max_ejection: Option<Positive>,
    #[serde(alias = "max_ejection_time_jitter")]
    max_jitter: Option<Time>,
    #[serde(alias = "max_ejection_percent")]
    max_ejected_percent: Option<Percent>,
    interval: Option<Positive>,
}

impl OutlierTable {
    fn detection(&self) -> OutlierDetection {
        let mut detection = OutlierDetection::default();
        let set = &mut detection;
        let time = |positive: Positive| positive.get().duration();
        fill(
            &mut set.consecutive_failures,
            self.consecutive_failures,
            |n| n,
        );
        fill(&mut set.base_ejection, self.base_ejection, time);
        fill(&mut set.max_ejection, self.max_ejection, time);
        fill(&mut set.max_jitter, self.max_jitter, Time::duration);
        fill(
            &mut set.max_ejected_percent,
            self.max_ejected_percent,
            percent,
        );
        fill(&mut set.interval, self.interval, time);
        // Envoy does the same.
        set.max_ejection = set.max_ejection.max(set.base_ejection);
        detection
    }
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SlowStartTable {
    #[serde(alias = "slow_start_window")]
    window: Positive,
    #[serde(alias = "min_weight_percent")]
    min_percent: Option<Percent>,
    aggression: Option<Aggression>,
}

impl SlowStartTable {
    fn slow_start(&self) -> SlowStart {
        let mut slow = SlowStart::new(self.window.get().duration());
        fill(&mut slow.min_percent, self.min_percent, percent);
        fill(&mut slow.aggression, self.aggression, Aggression::get);
        slow
    }
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SubsetTable {
    index: u64,
    size: NonZeroU32,
}

impl SubsetTable {
    fn subset(&self) -> Subset {
        Subset::new(self.index, self.size.get())
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ZoneTable {
    zone: Spanned<String>,
    #[serde(alias = "overprovisioning_factor")]
    overprovisioning: Option<Overprovisioning>,
    min_backends: Option<u32>,
}

impl ZoneTable {
    fn preference(&self) -> ZonePreference {
        let mut zone = ZonePreference::new(self.zone.get_ref().as_str());
        fill(&mut zone.overprovisioning, self.overprovisioning, factor);
        fill(&mut zone.min_backends, self.min_backends, |n| n);
        zone
    }
}

fn replace<T, U>(place: &mut Option<U>, by: &Option<Switch<T>>, get: impl Fn(&T) -> U) {
    match by {
        Some(Switch::On(setting)) => *place = Some(get(setting)),
        Some(Switch::Off) => *place = None,
        None => {}
    }
}

fn fill<T, U>(place: &mut U, by: Option<T>, get: impl Fn(T) -> U) {
    if let Some(value) = by {
        *place = get(value);
    }
}

// Both values are whole and in range by construction.
fn percent(percent: Percent) -> u8 {
    percent.get() as u8
}

fn factor(percent: Overprovisioning) -> u16 {
    percent.get() as u16
}

/// A setting that `false` switches off.
#[derive(Clone, Copy, Debug)]
enum Switch<T> {
    Off,
    On(T),
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Switch<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SwitchVisitor(PhantomData))
    }
}

struct SwitchVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for SwitchVisitor<T> {
    type Value = Switch<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("its settings, or false to switch it off")
    }

    fn visit_bool<E: Error>(self, on: bool) -> Result<Self::Value, E> {
        if on {
            return Err(E::invalid_value(Unexpected::Bool(on), &self));
        }
        Ok(Switch::Off)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Self::Value, E> {
        T::deserialize(value.into_deserializer()).map(Switch::On)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
        T::deserialize(value.into_deserializer()).map(Switch::On)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Switch::On)
    }
}
