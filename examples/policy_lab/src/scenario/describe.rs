//! The settings of the balancer, in the words of a scenario file.

use std::time::Duration;

use lb_core::{BalancerConfig, OutlierDetection, SlowStart, ZonePreference};

/// The settings of `config` that differ from `base`.
pub(crate) fn differences(config: &BalancerConfig, base: &BalancerConfig) -> Vec<String> {
    let (all, known) = (all(config), all(base));
    let new = all.into_iter().filter(|setting| !known.contains(setting));
    new.map(|(name, value)| format!("{name} = {value}"))
        .collect()
}

/// Every setting with its value; `false` if it is off.
fn all(config: &BalancerConfig) -> [(&'static str, String); 6] {
    let subset = config
        .subset
        .map(|part| format!("{{ index = {}, size = {} }}", part.index, part.size));
    [
        ("outlier_detection", config.outlier_detection.map(outliers)),
        (
            "overprovisioning",
            config.overprovisioning.map(|percent| percent.to_string()),
        ),
        (
            "panic_threshold",
            config.panic_threshold.map(|percent| percent.to_string()),
        ),
        ("slow_start", config.slow_start.map(slow)),
        ("subset", subset),
        ("zone", config.zone.as_ref().map(near)),
    ]
    .map(|(name, value)| (name, value.unwrap_or_else(|| "false".to_owned())))
}

fn outliers(detection: OutlierDetection) -> String {
    format!(
        "{{ consecutive_failures = {}, base_ejection = {}, max_ejection = {}, max_jitter = {}, \
         max_ejected_percent = {}, interval = {} }}",
        detection.consecutive_failures,
        time(detection.base_ejection),
        time(detection.max_ejection),
        time(detection.max_jitter),
        detection.max_ejected_percent,
        time(detection.interval),
    )
}

fn slow(slow: SlowStart) -> String {
    format!(
        "{{ window = {}, min_percent = {}, aggression = {} }}",
        time(slow.window),
        slow.min_percent,
        slow.aggression
    )
}

fn near(zone: &ZonePreference) -> String {
    // `check.rs` allows only plain names of zones: there is nothing to escape.
    format!(
        "{{ zone = \"{}\", overprovisioning = {}, min_backends = {} }}",
        zone.zone, zone.overprovisioning, zone.min_backends
    )
}

fn time(time: Duration) -> String {
    let nanos = time.as_nanos();
    let units = [(1_000_000_000, "s"), (1_000_000, "ms"), (1000, "us")];
    let whole = units
        .into_iter()
        .find(|(unit, _)| nanos.is_multiple_of(*unit));
    let (unit, name) = whole.unwrap_or((1000, "us"));
    format!("\"{}{name}\"", nanos as f64 / unit as f64)
}
