//! The built-in scenarios.

/// Names and texts, in the order of `--list`.
pub(super) const ALL: [(&str, &str); 12] = [
    ("even", include_str!("../../scenarios/even.toml")),
    (
        "mixed-weights",
        include_str!("../../scenarios/mixed-weights.toml"),
    ),
    ("slow-node", include_str!("../../scenarios/slow-node.toml")),
    (
        "failing-node",
        include_str!("../../scenarios/failing-node.toml"),
    ),
    (
        "rolling-update",
        include_str!("../../scenarios/rolling-update.toml"),
    ),
    ("scale-out", include_str!("../../scenarios/scale-out.toml")),
    (
        "slow-start",
        include_str!("../../scenarios/slow-start.toml"),
    ),
    ("outliers", include_str!("../../scenarios/outliers.toml")),
    ("restart", include_str!("../../scenarios/restart.toml")),
    ("panic", include_str!("../../scenarios/panic.toml")),
    ("two-sites", include_str!("../../scenarios/two-sites.toml")),
    ("hot-key", include_str!("../../scenarios/hot-key.toml")),
];
