//! Each setting reaches the balancer: it changes a figure in the expected direction.

use policy_lab::{Run, Scenario, simulate_variant};

/// A run of `world` under a variant with the lines `variant`.
fn run(world: &str, variant: &str) -> Run {
    let text = format!("{world}\n[[variants]]\nlabel = \"test\"\n{variant}");
    let scenario = Scenario::parse("test", &text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    simulate_variant(&scenario, &scenario.variants()[0], 1)
}

/// Asserts that `figure` under `policy` grows from each of `settings` to the next: those of the policy, or of the balancer.
fn grows(world: &str, policy: &str, settings: &[&str], figure: impl Fn(&Run) -> f64) {
    let with = |settings: &&str| {
        let variant = match settings.strip_prefix("balancer") {
            Some(_) => format!("policy = \"{policy}\"\n{settings}"),
            None => format!("policy = {{ {policy} = {{ {settings} }} }}"),
        };
        figure(&run(world, &variant))
    };
    let figures: Vec<f64> = settings.iter().map(with).collect();
    let grows = figures.windows(2).all(|pair| pair[0] < pair[1]);
    assert!(grows, "{policy}: {settings:?} gave {figures:?}");
}

const KEYS: &str = r#"
    duration = "20s"
    arrivals = { rate = 500 }
    clients = { count = 2000 }
    backends = [
        { name = "node", count = 9, service = { constant = "20ms" } },
        { name = "large", weight = 50, servers = 1000, service = { constant = "20ms" } },
    ]
"#;

#[test]
fn sizes_make_the_shares_more_exact() {
    let error = |run: &Run| run.share_error;
    let settings = ["table_size = 655373", "table_size = 61"];
    grows(KEYS, "maglev", &settings, error);
    let settings = [
        "min_size = 65536",
        "min_size = 64",
        "min_size = 0, max_size = 10",
    ];
    grows(KEYS, "ring_hash", &settings, error);
    grows(KEYS, "ketama", &["", "max_points = 20"], error);
}

#[test]
fn a_larger_table_moves_fewer_keys_beyond_need() {
    let world =
        format!("{KEYS}\nevents = [{{ at = \"10s\", action = \"leave\", target = \"node-3\" }}]");
    let moved = |run: &Run| run.keys_moved.unwrap();
    grows(
        &world,
        "maglev",
        &["table_size = 655373", "table_size = 251"],
        moved,
    );
}

#[test]
fn a_bound_evens_the_load_and_sends_clients_elsewhere() {
    let hot = r#"
        duration = "20s"
        arrivals = { rate = 300 }
        clients = { count = 1000, zipf = 1.2 }
        backends = [{ name = "node", count = 5, servers = 100, service = { exponential = "200ms" } }]
    "#;
    let settings = [
        "balance_factor = 125",
        "balance_factor = 200",
        "balance_factor = 0",
    ];
    for policy in ["ketama", "maglev", "rendezvous", "ring_hash"] {
        grows(hot, policy, &settings, |run| run.max_in_flight.into());
        grows(hot, policy, &settings, |run| -run.sent_elsewhere);
    }
}

#[test]
fn outlier_detection_spares_attempts() {
    let one_fails = r#"
        duration = "100s"
        arrivals = { rate = 100 }
        backends = [
            { name = "good", count = 9, service = { constant = "1ms" } },
            { name = "bad", connect_fails = 1.0, max_fails = 0, service = { constant = "1ms" } },
        ]
    "#;
    let failed = |settings: &[&str]| {
        let line = |setting: &&str| format!("balancer = {{ outlier_detection = {{ {setting} }} }}");
        let lines: Vec<String> = settings.iter().map(line).collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        grows(one_fails, "weighted_round_robin", &lines, |run| {
            run.failed_attempts as f64
        });
    };
    failed(&["", "base_ejection = \"1s\"", "max_ejected_percent = 9"]);
    failed(&["consecutive_failures = 1", "consecutive_failures = 20"]);
    failed(&[
        "base_ejection = \"1s\"",
        "base_ejection = \"1s\", max_ejection = \"2s\"",
    ]);
    failed(&[
        "base_ejection = \"1s\", max_jitter = \"10s\"",
        "base_ejection = \"1s\"",
    ]);
    failed(&[
        "base_ejection = \"1s\"",
        "base_ejection = \"1s\", interval = \"1ms\"",
    ]);
}

#[test]
fn slow_start_reduces_the_share_of_new_backends() {
    let join = r#"
        duration = "30s"
        warm_up = "0s"
        arrivals = { rate = 500 }
        backends = [
            { name = "old", count = 2, service = { constant = "1ms" } },
            { name = "new", absent = true, service = { constant = "1ms" } },
        ]
        events = [{ at = "1s", action = "join", target = "new" }]
    "#;
    let settings = [
        "",
        "balancer = { slow_start = { window = \"20s\", min_percent = 90 } }",
        "balancer = { slow_start = { window = \"5s\" } }",
        "balancer = { slow_start = { window = \"20s\", aggression = 3 } }",
        "balancer = { slow_start = { window = \"20s\" } }",
        "balancer = { slow_start = { window = \"20s\", aggression = 0.5 } }",
    ];
    for policy in ["random", "weighted_round_robin"] {
        grows(join, policy, &settings, |run| run.share_error);
    }
}

#[test]
fn in_panic_failed_backends_are_tried() {
    let most_fail = r#"
        duration = "20s"
        arrivals = { rate = 100 }
        backends = [
            { name = "good", service = { constant = "1ms" } },
            { name = "bad", count = 2, connect_fails = 1.0, service = { constant = "1ms" } },
        ]
    "#;
    let settings = [
        "balancer = { panic_threshold = 0 }",
        "balancer = { panic_threshold = 50 }",
    ];
    grows(most_fail, "random", &settings, |run| {
        run.failed_attempts as f64
    });
}

#[test]
fn overprovisioning_lets_the_next_priority_help() {
    let half_fails = r#"
        duration = "20s"
        arrivals = { rate = 100 }
        backends = [
            { name = "good", service = { constant = "1ms" } },
            { name = "bad", connect_fails = 1.0, service = { constant = "1ms" } },
            { name = "spare", PRIORITY, service = { constant = "1ms" } },
        ]
    "#;
    let settings = [
        "",
        "balancer = { overprovisioning = 140 }",
        "balancer = { overprovisioning = 100 }",
    ];
    for priority in ["priority = 1", "priority = 7", "backup = true"] {
        let world = half_fails.replace("PRIORITY", priority);
        grows(&world, "random", &settings, |run| run.sent_elsewhere);
    }
}

#[test]
fn a_zone_is_preferred_while_it_is_healthy_enough() {
    let zones = r#"
        duration = "20s"
        arrivals = { rate = 100 }
        backends = [
            { name = "near", zone = "a", service = { constant = "1ms" } },
            { name = "near-bad", zone = "a", connect_fails = 1.0, service = { constant = "1ms" } },
            { name = "far", zone = "b", count = 4, service = { constant = "1ms" } },
        ]
    "#;
    let settings = [
        "balancer = { zone = { zone = \"a\", overprovisioning = 200 } }",
        "balancer = { zone = { zone = \"a\" } }",
        "balancer = { zone = { zone = \"a\", min_backends = 2 } }",
        "",
    ];
    grows(zones, "random", &settings, |run| run.sent_elsewhere);
}

#[test]
fn a_subset_has_its_size_and_depends_on_the_index() {
    let world = r#"
        duration = "10s"
        arrivals = { rate = 100 }
        backends = [
            { name = "fast", count = 2, connect = { constant = "0s" }, service = { constant = "1ms" } },
            { name = "slow", count = 2, connect = { constant = "0s" }, service = { constant = "9ms" } },
        ]
    "#;
    let subset = |index, size| {
        let line = format!("balancer = {{ subset = {{ index = {index}, size = {size} }} }}");
        run(world, &format!("policy = \"weighted_round_robin\"\n{line}"))
    };
    let found: Vec<u128> = (0..4)
        .map(|index| subset(index, 1).p999.unwrap().as_millis())
        .collect();
    assert!(found.contains(&1) && found.contains(&9), "{found:?}");
    assert!((subset(0, 1).share_error - 0.75).abs() < 1e-9);
    assert!((subset(0, 3).share_error - 0.25).abs() < 0.01);
}

#[test]
fn the_scenarios_settings_apply_unless_a_variant_has_its_own() {
    let world = r#"
        duration = "10s"
        arrivals = { rate = 100 }
        balancer = { subset = { index = 0, size = 1 }, panic_threshold = 50 }
        backends = [{ name = "a", count = 4, service = { constant = "1ms" } }]
    "#;
    let settings = [
        "balancer = { panic_threshold = 30 }",
        "balancer = { subset = { index = 0, size = 2 } }",
        "balancer = { subset = false }",
    ];
    grows(world, "weighted_round_robin", &settings, |run| {
        run.sent_elsewhere
    });
    assert_eq!(run(world, "policy = \"random\"").sent_elsewhere, 0.0);
}

/// Both backends fail for two seconds at once, and are ejected for ten.
#[test]
fn failure_limits_and_what_happens_while_all_are_ejected_apply_to_all_groups() {
    let restart = r#"
        duration = "30s"
        warm_up = "0s"
        arrivals = { rate = 50 }
        backends = [{ name = "node", count = 2, service = { constant = "1ms" } }]
        events = [
            { at = "5s", action = "fail", target = "node" },
            { at = "7s", action = "recover", target = "node" },
        ]
    "#;
    let unserved = |run: &Run| run.lost as f64;
    let settings = [
        "balancer = { on_all_ejected = \"try\" }",
        "balancer = { on_all_ejected = \"refuse\" }",
    ];
    grows(restart, "random", &settings, unserved);
    let settings = [
        "balancer = { on_all_ejected = \"refuse\", fail_limits = { all = false } }",
        "balancer = { on_all_ejected = \"refuse\", fail_limits = { all = { fail_timeout = \"4s\" } } }",
        "balancer = { on_all_ejected = \"refuse\", fail_limits = \"of_each\" }",
    ];
    grows(restart, "random", &settings, unserved);
}
