//! The settings of the balancer, in the words of a scenario file.

use lb_core::BalancerConfig;
use toml::Table;

/// The settings of `config` that differ from `base`.
pub(crate) fn differences(config: &BalancerConfig, base: &BalancerConfig) -> Vec<String> {
    let (all, known) = (table(config), table(base));
    let new = all
        .iter()
        .filter(|(name, value)| known.get(*name) != Some(value));
    new.map(|(name, value)| format!("{name} = {value}"))
        .collect()
}

fn table(config: &BalancerConfig) -> Table {
    // All of it was read from TOML.
    Table::try_from(config).expect("settings of a file can be written")
}
