//! Picks compared with recordings of a real nginx, made by `record_nginx.py`.

use std::fmt::Debug;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use super::recording::{records, servers};
use crate::support::{Bench, at, letter, number, tried, weighted};
use lb_core::policy::{LeastConn, RandomTwo, WeightedRandom, WeightedRoundRobin};
use lb_core::{FailLimit, PickError};

fn numbers<T: FromStr<Err: Debug>>(text: &str) -> Vec<T> {
    text.split(' ').map(|n| n.parse().unwrap()).collect()
}

fn spelled(numbers: impl IntoIterator<Item = usize>) -> String {
    let letters: Vec<String> = numbers.into_iter().map(|i| letter(i).to_string()).collect();
    letters.join(" ")
}

#[test]
fn smooth_order_is_nginxs() {
    let mut compared = 0;
    for record in records(include_str!("nginx_smooth_wrr.txt")) {
        let [("weights", w), ("order", order)] = record[..] else {
            panic!("unknown record {record:?}");
        };
        let mut bench = Bench::new(Arc::new(WeightedRoundRobin::new()), &weighted(&numbers(w)));
        let ours = spelled(bench.numbers(order.split(' ').count()));
        assert_eq!(ours, order, "weights {w}");
        compared += 1;
    }
    assert!(compared >= 11, "only {compared} recordings");
}

#[test]
fn down_and_backup_servers_are_nginxs() {
    let mut compared = 0;
    for record in records(include_str!("nginx_smooth_wrr_backup.txt")) {
        let [("servers", text), ("order", order)] = record[..] else {
            panic!("unknown record {record:?}");
        };
        let (snapshot, _) = servers(text, FailLimit::default());
        let mut bench = Bench::new(Arc::new(WeightedRoundRobin::new()), &snapshot);
        for (turn, expected) in order.split(' ').enumerate() {
            let ours = match bench.pick() {
                Ok(pick) => letter(number(&pick)).to_string(),
                Err(error) => {
                    assert_eq!(error, PickError::Empty, "{text}");
                    "-".to_owned()
                }
            };
            assert_eq!(ours, expected, "{text}, turn {turn}");
        }
        compared += 1;
    }
    assert!(compared > 0);
}

/// nginx freezes the weights of a dead server, which shifts the phase of its order, so orders differ; the shares of the
/// other servers must not.
#[test]
fn a_dead_server_costs_no_connection_and_leaves_the_shares_nginxs() {
    for record in records(include_str!("nginx_smooth_wrr_dead.txt")) {
        let [
            ("servers", text),
            ("max_fails", max_fails),
            ("order", order),
            ..,
        ] = record[..]
        else {
            panic!("unknown record {record:?}");
        };
        let limit = FailLimit::new(
            max_fails.parse::<NonZeroU32>().unwrap(),
            Duration::from_secs(3600),
        );
        let (snapshot, dead) = servers(text, limit);
        let mut bench = Bench::new(Arc::new(WeightedRoundRobin::new()), &snapshot);
        let mut ours = vec![0_i32; snapshot.len()];
        let mut nginxs = ours.clone();
        for expected in order.split(' ') {
            nginxs[usize::from(expected.as_bytes()[0] - b'a')] += 1;
            let mut failed_on = Vec::new();
            let answered = loop {
                let pick = bench
                    .pick_at(&tried(failed_on.iter().copied()), at(0))
                    .expect("a living server");
                let i = number(&pick);
                assert!(!failed_on.contains(&i), "{text}: {i} tried twice");
                if !dead.contains(&i) {
                    break i;
                }
                let _ = pick.failed(at(0));
                failed_on.push(i);
            };
            ours[answered] += 1;
        }
        let apart = ours.iter().zip(&nginxs).map(|(a, b)| (a - b).abs()).max();
        assert!(apart <= Some(2), "{text}: ours {ours:?}, nginx {nginxs:?}");
    }
}

#[test]
fn least_conn_finds_the_same_least_loads() {
    for record in records(include_str!("nginx_least_conn.txt")) {
        let [("weights", w), ("steps", steps)] = record[..] else {
            panic!("unknown record {record:?}");
        };
        let weights: Vec<u16> = numbers(w);
        let all = 0..weights.len();
        let mut bench = Bench::new(Arc::new(LeastConn::new()), &weighted(&weights));
        let mut held: Vec<Vec<_>> = all.clone().map(|_| Vec::new()).collect();
        for (turn, step) in steps.split(' ').enumerate() {
            let theirs = usize::from(step.as_bytes()[1] - b'a');
            if step.starts_with('-') {
                drop(held[theirs].remove(0));
                continue;
            }
            let ours = number(&bench.pick().unwrap());
            let load = |i: usize| (held[i].len() as u64, u64::from(weights[i]));
            let ((c, w_ours), (d, w_theirs)) = (load(ours), load(theirs));
            assert_eq!(
                c * w_theirs,
                d * w_ours,
                "weights {w}, turn {turn}: {ours} for {theirs}"
            );
            // Repeats the choice of nginx, so that the next step starts from its state.
            let others = tried(all.clone().filter(|&i| i != theirs));
            held[theirs].push(bench.pick_at(&others, at(0)).unwrap());
        }
    }
}

#[test]
fn random_shares_are_nginxs() {
    for record in records(include_str!("nginx_random.txt")) {
        let [
            ("weights", w),
            ("connections", connections),
            ("counts", counts),
        ] = record[..]
        else {
            panic!("unknown record {record:?}");
        };
        let connections: usize = connections.parse().unwrap();
        let mut bench = Bench::new(Arc::new(WeightedRandom::new()), &weighted(&numbers(w)));
        let mut ours = vec![0_f64; w.split(' ').count()];
        for i in bench.numbers(connections) {
            ours[i] += 1.0;
        }
        assert_same_shares(w, connections, &ours, &numbers(counts));
    }
}

#[test]
fn random_two_shares_are_nginxs_idle_and_under_load() {
    for record in records(include_str!("nginx_random_two.txt")) {
        let [
            ("weights", w),
            ("held", at_once),
            ("connections", connections),
            ("counts", counts),
        ] = record[..]
        else {
            panic!("unknown record {record:?}");
        };
        let (at_once, connections): (usize, usize) =
            (at_once.parse().unwrap(), connections.parse().unwrap());
        let mut bench = Bench::new(Arc::new(RandomTwo::new()), &weighted(&numbers(w)));
        let mut ours = vec![0_f64; w.split(' ').count()];
        for _ in 0..connections / at_once {
            let held: Vec<_> = (0..at_once).map(|_| bench.pick().unwrap()).collect();
            for pick in &held {
                ours[number(pick)] += 1.0;
            }
        }
        assert_same_shares(w, connections, &ours, &numbers(counts));
    }
}

/// Two samples of one binomial: their difference stays within five standard deviations.
fn assert_same_shares(weights: &str, connections: usize, ours: &[f64], theirs: &[f64]) {
    for (&ours, &theirs) in ours.iter().zip(theirs) {
        let share = theirs / connections as f64;
        let deviation = (2.0 * connections as f64 * share * (1.0 - share)).sqrt();
        assert!(
            (ours - theirs).abs() <= 5.0 * deviation,
            "weights {weights}: {ours} for {theirs}"
        );
    }
}
