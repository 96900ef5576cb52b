//! The settings of the balancer that variants replace.

use std::collections::{BTreeMap, BTreeSet};

use lb_core::BalancerConfig;
use serde::Deserialize;
use serde::de::IgnoredAny;

/// The settings that a table gives, by their names in the file.
pub(super) type Given = BTreeSet<String>;

/// The part of a file that says which settings of the balancer each variant gives.
#[derive(Debug, Default, Deserialize)]
struct GivenFile {
    #[serde(default)]
    variants: Vec<GivenVariant>,
}

#[derive(Debug, Deserialize)]
struct GivenVariant {
    #[serde(default)]
    balancer: BTreeMap<String, IgnoredAny>,
}

/// The settings that each variant of the file `text` gives. `text` is a valid file.
pub(super) fn given(text: &str) -> Vec<Given> {
    let GivenFile { variants } = toml::from_str(text).unwrap_or_default();
    let names = |variant: GivenVariant| variant.balancer.into_keys().collect();
    variants.into_iter().map(names).collect()
}

/// `base` with those settings of `own` that are `given`.
pub(super) fn over(base: &BalancerConfig, own: &BalancerConfig, given: &Given) -> BalancerConfig {
    let mut config = base.clone();
    macro_rules! replace {
        ($($name:ident $(or $envoy:literal)?,)*) => {
            $(if [stringify!($name) $(, $envoy)?].iter().any(|name| given.contains(*name)) {
                config.$name.clone_from(&own.$name);
            })*
        };
    }
    replace! {
        common_outage,
        fail_limits,
        initial_health,
        on_all_ejected,
        outlier_detection,
        overprovisioning or "overprovisioning_factor",
        panic_threshold or "healthy_panic_threshold",
        slow_start or "slow_start_config",
        subset,
        zone,
    }
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_of_lb_core_can_be_replaced() {
        let text = "common_outage = false\nfail_limits = { all = false }\ninitial_health = \"unchecked\"\n\
            on_all_ejected = \"refuse\"\noutlier_detection = {}\noverprovisioning = 140\npanic_threshold = 50\n\
            slow_start = { window = \"1s\" }\nsubset = { index = 0, size = 1 }\nzone = { zone = \"a\" }\n";
        let own: BalancerConfig = toml::from_str(text).unwrap();
        let base = BalancerConfig::default();
        let all = toml::Table::try_from(&base).unwrap();
        let given: Given = all.keys().cloned().collect();
        assert_eq!(over(&base, &own, &given), own);
        assert_eq!(over(&base, &own, &Given::new()), base);
        let ours = toml::Table::try_from(&own).unwrap();
        let same = all
            .iter()
            .filter(|(name, value)| ours.get(*name) == Some(value));
        assert_eq!(
            same.count(),
            0,
            "each setting of the test differs from the default"
        );
    }
}
