//! nginx's order of attempts while servers refuse, compared with a recording.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use lb_core::policy::{LeastConn, NginxHash, WeightedRoundRobin};
use lb_core::{Backend, FailLimit, Policy, Priority, Snapshot, Timestamp, Tried, Weight};

use super::recording::records;
use crate::support::{Bench, addr};

const RECORDING: &str = include_str!("nginx_failover_order.txt");

fn policy(method: &str) -> Arc<dyn Policy> {
    match method {
        "round_robin" => Arc::new(WeightedRoundRobin::new()),
        "least_conn" => Arc::new(LeastConn::new()),
        "hash \"\"" => Arc::new(NginxHash::new()),
        _ => panic!("unknown method {method}"),
    }
}

fn backend(i: usize, server: &str) -> Backend {
    let mut backend = Backend::new(addr(i));
    let (mut max_fails, mut fail_timeout) = (1, 10);
    for word in server.split(',').skip(1) {
        match word.split_once('=').unwrap_or((word, "")) {
            ("backup", _) => backend = backend.priority(Priority::BACKUP),
            ("weight", n) => backend = backend.weight(Weight::new(n.parse().unwrap())),
            ("max_fails", n) => max_fails = n.parse().unwrap(),
            ("fail_timeout", n) => fail_timeout = n.trim_end_matches('s').parse().unwrap(),
            _ => panic!("unknown parameter {word}"),
        }
    }
    let max_fails = NonZeroU32::new(max_fails);
    let limit = max_fails.map(|max| FailLimit::new(max, Duration::from_secs(fail_timeout)));
    backend.fail_limit(limit)
}

/// The attempts of one session, joined by `+`.
fn session(bench: &mut Bench, names: &[&str], now: Timestamp) -> String {
    let mut tried = Tried::new();
    let mut attempts = Vec::new();
    loop {
        let pick = bench.pick_at(&tried, now).expect("a server that answers");
        let i = (0..names.len()).find(|&i| addr(i) == pick.addr()).unwrap();
        attempts.push(names[i]);
        if !["X", "Y"].contains(&names[i]) {
            pick.connected(now);
            return attempts.join("+");
        }
        tried.insert(pick.addr());
        let _ = pick.failed(now);
    }
}

#[test]
fn the_order_of_attempts_while_servers_refuse_is_nginxs() {
    let mut compared = 0;
    let mut differing = Vec::new();
    for record in records(RECORDING) {
        let [
            ("scenario", name),
            ("method", method),
            ("servers", servers),
            ("sessions", sessions),
        ] = record[..]
        else {
            panic!("unknown record {record:?}");
        };
        let servers: Vec<&str> = servers.split(' ').collect();
        let numbered = servers.iter().enumerate();
        let snapshot: Snapshot = numbered.map(|(i, server)| backend(i, server)).collect();
        let names: Vec<&str> = servers
            .iter()
            .map(|s| s.split(',').next().unwrap())
            .collect();
        let mut bench = Bench::new(policy(method), &snapshot);
        let mut now = Timestamp::from_nanos(5_000_000_000);
        let ours = sessions.split(' ').map(|recorded| {
            now = now.saturating_add(Duration::from_millis(5));
            if recorded == "~" {
                now = now.saturating_add(Duration::from_millis(2300));
                return recorded.to_owned();
            }
            session(&mut bench, &names, now)
        });
        let ours = ours.collect::<Vec<_>>().join(" ");
        if ours != sessions {
            differing.push(format!("{name}:\n  nginx {sessions}\n  ours  {ours}"));
        }
        compared += 1;
    }
    assert_eq!(compared, 14);
    assert!(differing.is_empty(), "{}", differing.join("\n"));
}
