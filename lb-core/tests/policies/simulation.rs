//! Policies in a simulated world: open arrivals, servers with queues, virtual time (`world.rs`).
//!
//! Everything follows from a seed. A failed test names it; `LB_SIM_SEED=<seed>` runs that one alone, and
//! `cargo test -p lb-core --test behaviour simulation -- --nocapture` prints the table of latencies.

use super::world::{Event, MILLISECOND, Plan, SECOND, SERVERS, SLOW, World};
use lb_core::policy::PolicyKind;

const SIGHTED: [PolicyKind; 5] = [
    PolicyKind::LeastConn,
    PolicyKind::LeastTime,
    PolicyKind::P2c,
    PolicyKind::P2cPeakEwma,
    PolicyKind::RandomTwo,
];

/// The seeds to run: a few, or the one of `LB_SIM_SEED`.
fn seeds() -> Vec<u64> {
    match std::env::var("LB_SIM_SEED") {
        Ok(seed) => vec![seed.parse().expect("LB_SIM_SEED is a number")],
        Err(_) => vec![1, 2],
    }
}

/// p50, p99 and p99.9 in milliseconds with one server ten times slower, and that server's share of the connections.
fn one_slow(kind: PolicyKind, seed: u64, rate: f64, seconds: u64) -> [f64; 4] {
    let mut world = World::new(Plan {
        kind,
        seed,
        rate,
        slowdown: 10.0,
        slow_start: None,
    });
    let warm = 2 * SECOND;
    world.run_until(warm + seconds * SECOND);
    let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|part| world.percentile(part, warm));
    [p50, p99, p999, world.shares(warm..u64::MAX)[SLOW]]
}

#[test]
#[allow(clippy::print_stdout, reason = "the table is printed on request")]
fn policies_that_read_the_load_beat_round_robin_beside_a_slow_server() {
    // Either the others are half busy and the slow one is overloaded by its share, or no server is busy.
    for (rate, seconds, at_least) in [(1600.0, 5, 20.0), (200.0, 20, 1.4)] {
        for seed in seeds() {
            let blind = one_slow(PolicyKind::WeightedRoundRobin, seed, rate, seconds);
            println!("\n{rate} connections a second, LB_SIM_SEED={seed}");
            println!("{:22} p50 ms   p99 ms  p99.9 ms  share of the slow one", "");
            let print = |kind: PolicyKind, [p50, p99, p999, share]: [f64; 4]| {
                let (name, share) = (kind.to_string(), 100.0 * share);
                println!("{name:20} {p50:8.1} {p99:8.1} {p999:9.1} {share:8.1} %");
            };
            print(PolicyKind::WeightedRoundRobin, blind);
            for kind in SIGHTED {
                let sighted = one_slow(kind, seed, rate, seconds);
                print(kind, sighted);
                // Only the time to connect shows that an idle server is slow.
                let times = match kind {
                    PolicyKind::P2cPeakEwma => f64::max(at_least, 3.5),
                    _ => at_least,
                };
                assert!(
                    sighted[1] * times < blind[1],
                    "{kind}: {sighted:.3?} against {blind:.3?}, {rate} a second, LB_SIM_SEED={seed}"
                );
            }
        }
    }
}

#[test]
fn a_restart_of_all_servers_overloads_no_server() {
    // All servers return at once, or one after the other.
    for gap in [0, 150 * MILLISECOND] {
        for (kind, seed) in sighted_and_seeds() {
            let mut world = World::new(Plan {
                kind,
                seed,
                rate: 600.0,
                slowdown: 1.0,
                slow_start: None,
            });
            let stop = 2 * SECOND;
            for i in 0..SERVERS {
                world.at(stop, Event::Stop(i));
                world.at(stop + SECOND / 2 + i as u64 * gap, Event::Start(i));
            }
            world.run_until(10 * SECOND);

            let mut back: Vec<(u64, usize)> = Vec::new();
            for &(at, i) in world.established.iter().filter(|(at, _)| *at > stop) {
                if back.iter().all(|&(_, known)| known != i) {
                    back.push((at, i));
                }
            }
            let context = format!("{kind}, {gap} ns apart, LB_SIM_SEED={seed}");
            assert_eq!(back.len(), SERVERS, "{context}");
            // While servers are still missing, the first one shares with the servers that have returned.
            let (since, first) = back[0];
            let shares = world.shares(since..since + SECOND / 2);
            let there = shares.iter().filter(|&&share| share > 0.0).count();
            assert!(
                shares[first] * (there as f64) < 2.0,
                "{first} of {shares:.3?}, {context}"
            );
            // Then a fair share is a tenth.
            let (all_back, _) = back[SERVERS - 1];
            let shares = world.shares(all_back..all_back + SECOND);
            let most = shares.iter().copied().fold(0.0, f64::max);
            assert!(most < 0.2, "{shares:.3?}, {context}");
            let p99 = world.percentile(0.99, all_back + SECOND);
            assert!(p99 < 150.0, "{p99} ms, {context}");
        }
    }
}

#[test]
fn a_new_instance_is_picked_at_once_and_not_overloaded() {
    for (kind, seed) in sighted_and_seeds() {
        let mut world = World::new(Plan {
            kind,
            seed,
            rate: 1600.0,
            slowdown: 1.0,
            slow_start: None,
        });
        let (joins, i) = (2 * SECOND, 5);
        world.at(joins, Event::Replace(i));
        world.run_until(4 * SECOND);
        // The first fifth of a second has 320 connections. A fair share is a tenth, and two tenths are what the power
        // of two choices gives to the cheapest of ten.
        let soon = joins + SECOND / 5;
        for time in [joins..soon, soon..soon + SECOND] {
            let share = world.shares(time.clone())[i];
            assert!(
                (0.03..0.2).contains(&share),
                "{share:.3} in {time:?}, {kind}, LB_SIM_SEED={seed}"
            );
        }
    }
}

#[test]
fn a_new_server_in_a_busy_pool_is_flooded_unless_it_starts_slowly() {
    for seed in seeds() {
        // The part of the next connections that a replaced server gets while the others are overloaded and have long
        // queues. A fair share is a tenth.
        let newcomers = |slow_start| {
            let mut world = World::new(Plan {
                kind: PolicyKind::LeastConn,
                seed,
                rate: 4400.0,
                slowdown: 1.0,
                slow_start,
            });
            let joins = 2 * SECOND;
            world.at(joins, Event::Replace(5));
            world.run_until(joins + SECOND / 20);
            world.shares(joins..u64::MAX)[5]
        };
        let (flooded, slow) = (newcomers(None), newcomers(Some(30)));
        let context = format!("{flooded:.3} and {slow:.3}, LB_SIM_SEED={seed}");
        assert!(flooded > 0.25, "{context}");
        assert!(slow < 0.1, "{context}");
    }
}

#[test]
fn the_same_seed_gives_the_same_world() {
    let run = || one_slow(PolicyKind::P2cPeakEwma, 7, 1000.0, 1);
    assert_eq!(run(), run());
}

fn sighted_and_seeds() -> impl Iterator<Item = (PolicyKind, u64)> {
    let kinds = SIGHTED.into_iter();
    kinds.flat_map(|kind| seeds().into_iter().map(move |seed| (kind, seed)))
}
