//! Invariants of every run, and results against theory.

use std::time::Duration;

use lb_core::policy::PolicyKind;
use policy_lab::{Run, Scenario, page, simulate, simulate_variant};

/// Every built-in scenario with a tenth of its load: enough for invariants, not for figures.
fn builtins() -> impl Iterator<Item = Scenario> {
    Scenario::builtin_names().map(builtin)
}

fn builtin(name: &str) -> Scenario {
    let scenario = Scenario::load(name).expect("built-in scenarios are right");
    scenario.scale_load(0.1)
}

/// A run of `scenario` under each of its variants, or else under every policy.
fn all_runs(scenario: &Scenario, seed: u64) -> Vec<Run> {
    if scenario.variants().is_empty() {
        let run = |policy: PolicyKind| simulate(scenario, policy.build(), seed);
        return PolicyKind::ALL.map(run).to_vec();
    }
    let run = |variant| simulate_variant(scenario, variant, seed);
    scenario.variants().iter().map(run).collect()
}

fn run(text: &str, policy: PolicyKind) -> Run {
    let scenario = Scenario::parse("test", text).expect("the scenario is right");
    simulate(&scenario, policy.build(), 1)
}

fn seconds(latency: Option<Duration>) -> f64 {
    latency.expect("something was served").as_secs_f64()
}

#[test]
fn every_arrival_ends_exactly_once_and_nothing_stays_in_flight() {
    for scenario in builtins() {
        for run in all_runs(&scenario, 7) {
            let about = format!("{} in {}", run.label, scenario.title());
            assert!(run.arrivals > 1000, "{about}");
            assert_eq!(run.arrivals, run.served + run.lost, "{about}");
            assert_eq!(run.left_in_flight, 0, "{about}");
            // The one in which all backends fail at once.
            let all_fail = scenario.title() == "restart";
            assert_eq!(run.lost > 0, all_fail, "{about}");
            assert!(run.p50 <= run.p99 && run.p99 <= run.p999, "{about}");
        }
    }
}

#[test]
fn the_same_seed_makes_the_same_page_and_another_does_not() {
    let made = |seed| {
        let results: Vec<_> = builtins()
            .map(|scenario| {
                let runs = all_runs(&scenario, seed);
                (scenario, runs)
            })
            .collect();
        page(seed, &results).unwrap()
    };
    assert_eq!(made(1), made(1));
    assert_ne!(made(1), made(2));
}

#[test]
fn policies_meet_the_same_arrivals() {
    let scenario = builtin("even");
    let arrivals = PolicyKind::ALL.map(|p| simulate(&scenario, p.build(), 3).arrivals);
    assert!(arrivals.iter().all(|n| *n == arrivals[0]), "{arrivals:?}");
}

#[test]
fn a_lone_backend_without_queueing_takes_connect_and_service_time() {
    let text = r#"
        duration = "10s"
        arrivals = { rate = 50 }
        [[backends]]
        name = "a"
        connect = { constant = "2ms" }
        service = { constant = "10ms" }
        servers = 1000
    "#;
    let run = run(text, PolicyKind::WeightedRoundRobin);
    assert_eq!(run.p50, Some(Duration::from_millis(12)));
    assert_eq!(run.p999, Some(Duration::from_millis(12)));
}

#[test]
fn waiting_in_the_queue_matches_the_theory() {
    // M/M/1 at half load: the time in the system is exponential with a mean of twice the service time.
    let text = r#"
        duration = "2000s"
        arrivals = { rate = 50 }
        [[backends]]
        name = "a"
        connect = { constant = "0s" }
        service = { exponential = "10ms" }
        servers = 1
    "#;
    let text = text.replace("2000s", "33m");
    let run = run(&text, PolicyKind::WeightedRoundRobin);
    let close = |time: Option<Duration>, part: f64| {
        let theory = 0.020 * -(1.0 - part).ln();
        (seconds(time) / theory - 1.0).abs() < 0.05
    };
    assert!(close(run.p50, 0.5), "{:?}", run.p50);
    assert!(close(run.p99, 0.99), "{:?}", run.p99);
}

#[test]
fn round_robin_keeps_shares_exactly_and_p2c_avoids_the_slow_backend() {
    let scenario = Scenario::load("slow-node").unwrap();
    let by = |policy: PolicyKind| simulate(&scenario, policy.build(), 1);
    let (round, p2c) = (by(PolicyKind::WeightedRoundRobin), by(PolicyKind::P2c));
    assert!(round.share_error < 1e-3, "{}", round.share_error);
    assert!(p2c.share_error > 0.05, "{}", p2c.share_error);
    assert!(
        seconds(p2c.p99) < seconds(round.p99) / 2.0,
        "{:?} {:?}",
        p2c.p99,
        round.p99
    );
}

#[test]
fn attempts_that_fail_are_tried_on_another_backend() {
    let text = r#"
        duration = "10s"
        arrivals = { rate = 100 }
        retry = { tries = TRIES, connect_timeout = "1s" }
        [[backends]]
        name = "good"
        service = { constant = "1ms" }
        [[backends]]
        name = "bad"
        max_fails = 0
        connect_fails = 1.0
        service = { constant = "1ms" }
    "#;
    let policy = PolicyKind::WeightedRoundRobin;
    let twice = run(&text.replace("TRIES", "2"), policy);
    assert!(twice.failed_attempts > 300);
    assert_eq!(twice.lost, 0);
    let once = run(&text.replace("TRIES", "1"), policy);
    assert_eq!(once.lost, once.failed_attempts);
}

#[test]
fn an_empty_set_loses_every_connection() {
    let text = r#"
        duration = "1s"
        arrivals = { rate = 100 }
        backends = [{ name = "a", absent = true, service = { constant = "1ms" } }]
    "#;
    let run = run(text, PolicyKind::P2c);
    assert!(run.lost > 0);
    assert_eq!(run.lost, run.arrivals);
    assert_eq!((run.p50, run.p99, run.p999), (None, None, None));
}

/// The ratio of a figure of two runs.
fn part(of: &[Run], label: &str, in_label: &str, figure: fn(&Run) -> f64) -> f64 {
    let find = |label: &str| of.iter().find(|run| run.label == label);
    let find = |label: &str| figure(find(label).unwrap_or_else(|| panic!("no variant {label}")));
    find(label) / find(in_label)
}

#[test]
fn the_built_in_variants_show_what_their_scenarios_say() {
    let runs = |name| all_runs(&Scenario::load(name).unwrap(), 1);
    let p99 = |run: &Run| seconds(run.p99);

    let found = runs("slow-start");
    assert!(part(&found, "round robin, slow start", "round robin", p99) < 0.1);

    let found = runs("outliers");
    let (with, without) = ("round robin, detection", "round robin, no detection");
    assert!(part(&found, with, without, p99) < 0.1);

    let found = runs("panic");
    assert!(part(&found, "panic below 50 %", "all may be ejected", p99) < 0.1);

    let found = runs("two-sites");
    assert!(part(&found, "zones alike, spill", "zones alike", p99) < 0.5);
    let (with, without) = ("zone a preferred, spill", "zones alike, spill");
    let p50 = |run: &Run| seconds(run.p50);
    assert!(part(&found, with, without, p50) < 0.8);

    let found = runs("hot-key");
    let (tight, loose) = ("maglev, at most 150 %", "maglev, at most 200 %");
    assert!(part(&found, loose, "maglev, 655373 slots", p99) < 0.1);
    assert!(part(&found, tight, loose, |run| run.sent_elsewhere) > 1.2);
    let moved = |run: &Run| run.keys_moved.unwrap_or_default();
    assert!(
        part(
            &found,
            "ring_hash, 65536 points",
            "maglev, 65537 slots",
            moved
        ) > 1.3
    );
}
