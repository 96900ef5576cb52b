//! Scenario files: errors name the place and the fix, and no input panics.

use crate::support::error;
use lb_core::policy::PolicyKind;
use policy_lab::{Scenario, Variant, page, simulate, simulate_variant};
use proptest::prelude::*;

/// A scenario with every setting, small enough to run often.
const FULL: &str = r#"title = "full"
description = "everything"
duration = "2s"
warm_up = "100ms"

[arrivals]
rate = 50
burst = { every = "500ms", for = "100ms", factor = 3 }

[clients]
count = 100
zipf = 1.1

[retry]
tries = 3
deadline = "1s"
connect_timeout = "200ms"

[balancer]
outlier_detection = { consecutive_failures = 2, base_ejection = "100ms", max_ejected_percent = 50 }
overprovisioning = 140
panic_threshold = 50
slow_start = { window = "500ms", min_percent = 5, aggression = 2 }

[[variants]]
label = "bounded"
policy = { maglev = { table_size = 251, balance_factor = 150 } }

[[variants]]
label = "of zone x"
policy = { ring_hash = { min_size = 64, max_size = 128 } }
balancer = { slow_start = false, subset = { index = 3, size = 2 }, zone = { zone = "x" } }

[[backends]]
name = "a"
count = 3
weight = 2
zone = "x"
priority = 0
max_conns = 10
max_fails = 2
fail_timeout = "500ms"
connect = { exponential = "1ms" }
connect_fails = 0.1
service = { pareto = { least = "5ms", alpha = 1.5 } }
servers = 2

[[backends]]
name = "b"
count = 2
absent = true
backup = true
service = { log_normal = { median = "10ms", sigma = 1.0 } }
cold = { factor = 5, for = "1s" }

[[events]]
at = "500ms"
action = "join"
target = "b"
each = "100ms"

[[events]]
at = "1s"
action = "fail"
target = "a-1"
failure = "timeout"

[[events]]
at = "1.2s"
action = "recover"
target = "a-1"

[[events]]
at = "1.5s"
action = "weight"
target = "a-2"
weight = 5

[[events]]
at = "1.6s"
action = "drain"
target = "a"

[[events]]
at = "1.8s"
action = "leave"
target = "a"
"#;

#[test]
fn errors_name_the_place_and_the_fix() {
    for (from, to, said) in [
        (
            "duration = \"2s\"",
            "duration = \"2\"",
            "lab.toml:3:12: \"2\" is not a time: write a number with its unit",
        ),
        (
            "duration = \"2s\"",
            "duration = \"0s\"",
            "lab.toml:3:12: this time must be longer than zero",
        ),
        (
            "warm_up = \"100ms\"",
            "warm_up = \"2s\"",
            "lab.toml:4:11: the warm-up must be shorter than the duration",
        ),
        (
            "rate = 50",
            "rate = 0",
            "lab.toml:7:8: 0 is out of range: a rate is above 0",
        ),
        ("rate = 50", "rate = 1000000", "lower one of them"),
        (
            "rate = 50",
            "rat = 50",
            "lab.toml:7:1: unknown field `rat`, expected `rate` or `burst`",
        ),
        ("count = 3", "count = 0", "lab.toml:36:9: invalid value"),
        (
            "count = 3",
            "count = 501",
            "lab.toml:36:9: use at most 500 backends",
        ),
        (
            "weight = 2",
            "weight = 65536",
            "lab.toml:37:10: invalid value",
        ),
        (
            "connect_fails = 0.1",
            "connect_fails = 1.1",
            "a probability is from 0 to 1",
        ),
        ("alpha = 1.5", "alpha = 1.0", "alpha is above 1"),
        (
            "name = \"b\"",
            "name = \"a\"",
            "\"a\" is a group or a backend already: choose another name",
        ),
        (
            "name = \"b\"",
            "name = \"a-2\"",
            "\"a-2\" is a group or a backend already",
        ),
        (
            "name = \"b\"",
            "name = \"<b>\"",
            "a name has 1 to 40 letters",
        ),
        (
            "action = \"join\"",
            "action = \"jump\"",
            "unknown variant `jump`, expected one of",
        ),
        (
            "target = \"a-1\"",
            "target = \"a-4\"",
            "the groups are a, b, their backends a-1, ...",
        ),
        ("weight = 5", "", "needs the new weight: add weight = N"),
        (
            "failure = \"timeout\"",
            "weight = 3",
            "\"weight\" belongs to the action \"weight\"",
        ),
        (
            "each = \"100ms\"",
            "failure = \"timeout\"",
            "\"failure\" belongs to the action \"fail\"",
        ),
        ("each = \"100ms\"", "each = \"24h\"", "shorten \"each\""),
        (
            "each = \"100ms\"",
            "each = \"1.5s\"",
            "lab.toml:56:1: no connection arrives after 2 s, the duration, but the last backend's turn comes then",
        ),
        (
            "at = \"1.8s\"",
            "at = \"2s\"",
            "lab.toml:85:6: no connection arrives after 2 s, the duration: let this happen earlier",
        ),
        (
            "zone = { zone = \"x\" }",
            "zone = { zone = 'x\"' }",
            "no backend is in the zone",
        ),
        (
            "zone = \"x\"\npriority",
            "zone = 'x\"'\npriority",
            "a name has 1 to 40 letters",
        ),
        ("[clients]", "[clients", "lab.toml:10:"),
    ] {
        let error = error(FULL, from, to);
        assert!(error.contains(said), "{to}: {error}");
    }
}

#[test]
fn a_missing_file_is_an_error_with_the_built_in_names() {
    let error = Scenario::load("/nonexistent/lab.toml")
        .unwrap_err()
        .to_string();
    assert!(error.contains("/nonexistent/lab.toml"), "{error}");
    assert!(error.contains("even, mixed-weights, slow-node"), "{error}");
}

#[test]
fn an_unreadable_file_is_an_error_without_names() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("latin1.toml");
    std::fs::write(&file, b"duration = \"1s\"\n# \xc3\xa9, \xe9\n").unwrap();
    for (path, said) in [
        (dir.path(), ": give a file that can be read"),
        (&file, "latin1.toml:2:6: from here on the file is not UTF-8"),
    ] {
        let error = Scenario::load(path.to_str().unwrap()).unwrap_err();
        let error = error.to_string();
        assert!(error.contains(said), "{error}");
        assert!(!error.contains("built-in"), "{error}");
    }
}

#[test]
fn the_full_scenario_runs_under_every_policy() {
    let scenario = Scenario::parse("full", FULL).unwrap();
    for policy in PolicyKind::ALL {
        let run = simulate(&scenario, policy.build(), 1);
        assert_eq!(run.arrivals, run.served + run.lost, "{policy}");
        assert_eq!(run.left_in_flight, 0, "{policy}");
    }
    let labels: Vec<&str> = scenario.variants().iter().map(Variant::label).collect();
    assert_eq!(labels, ["bounded", "of zone x"]);
}

/// Simulates and draws `text` if it is a scenario.
fn try_out(text: &str) {
    let Ok(scenario) = Scenario::parse("test", text) else {
        return;
    };
    let plain = [PolicyKind::P2c, PolicyKind::WeightedRoundRobin];
    let plain = plain.map(|policy| scenario.plain(policy.build()));
    let variants = plain.iter().chain(scenario.variants());
    let runs = variants.map(|variant| {
        let run = simulate_variant(&scenario, variant, 1);
        assert_eq!(run.arrivals, run.served + run.lost);
        assert_eq!(run.left_in_flight, 0);
        run
    });
    let runs = runs.collect();
    page(1, &[(scenario, runs)]).expect("every run can be drawn");
}

/// Values that serde accepts or nearly accepts. None makes a scenario large.
#[rustfmt::skip]
const VALUES: &[&str] = &[
    "0", "1", "2", "7", "-1", "0.5", "1.5", "1e-9", "nan", "inf", "true", "false", "\"\"", "\"0s\"", "\"1us\"",
    "\"50ms\"", "\"1s\"", "\"3s\"", "\"a\"", "\"b\"", "\"a-1\"", "\"b-2\"", "\"é\"", "\"join\"", "\"leave\"",
    "\"drain\"", "\"fail\"", "\"refuse\"", "\"timeout\"", "{ constant = \"0s\" }", "{ constant = \"24h\" }",
    "{ exponential = \"1ms\" }", "{ pareto = { least = \"1h\", alpha = 1.01 } }",
    "{ log_normal = { median = \"1ms\", sigma = 5 } }", "{ factor = 1000, for = \"1us\" }", "[]", "{}",
    "251", "\"p2c\"", "\"ketama\"", "{ window = \"1s\" }", "{ zone = \"x\" }", "{ slow_start = {} }",
    "{ outlier_detection = { interval = \"1us\", max_jitter = \"24h\" }, overprovisioning = 65535 }",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn values_may_be_anything(edits in prop::collection::vec((any::<prop::sample::Index>(), prop::sample::select(VALUES)), 1..6)) {
        let mut lines: Vec<String> = FULL.lines().map(str::to_owned).collect();
        for (at, value) in edits {
            let line = at.get_mut(&mut lines);
            if let Some((name, _)) = line.clone().split_once(" = ") {
                *line = format!("{name} = {value}");
            }
        }
        try_out(&lines.join("\n"));
    }

    #[test]
    fn lines_may_be_missing_twice_or_elsewhere(order in prop::collection::vec(any::<prop::sample::Index>(), 0..20)) {
        let mut lines: Vec<&str> = FULL.lines().collect();
        for at in order {
            let line = lines.remove(at.index(lines.len()));
            if at.index(3) > 0 {
                lines.insert(at.index(lines.len()), line);
            }
        }
        try_out(&lines.join("\n"));
    }

    #[test]
    fn text_may_be_anything(text in ".{0,200}") {
        try_out(&text);
    }
}
