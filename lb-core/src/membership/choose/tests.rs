use std::net::SocketAddr;

use std::sync::Arc;

use super::*;
use crate::policy::{First, LeastConn, Policy};
use crate::{
    Backend, Balancer, BalancerConfig, Health, OutlierDetection, Priority, Snapshot, SplitMix64,
    Tried, Updater, Weight, balancer,
};

fn addr(port: u16) -> SocketAddr {
    ([127, 0, 0, 1], port).into()
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_nanos(seconds * 1_000_000_000)
}

fn world(policy: impl Policy, config: BalancerConfig) -> (Updater, Balancer) {
    let (mut updater, balancer) = balancer(Arc::new(policy));
    updater.set_config(config);
    (updater, balancer)
}

/// Equal weights and no limit on failures.
fn snapshot(ports: impl IntoIterator<Item = u16>, weight: u16) -> Snapshot {
    let backend = |port| Backend::new(addr(port)).weight(Weight::new(weight));
    let backends = ports.into_iter().map(backend);
    backends.map(|b| b.fail_limit(None)).collect()
}

fn pick(balancer: &Balancer, tried: &Tried, now: Timestamp) -> Result<Pick, PickError> {
    balancer.pick(&PickRequest::new(tried), now, &mut SplitMix64::new(1))
}

fn one_failure_ejects() -> OutlierDetection {
    OutlierDetection::default()
        .consecutive_failures(1)
        .max_ejected_percent(100)
}

#[test]
fn a_tier_panics_while_another_thread_recomputes_tier_health() {
    let config = BalancerConfig::default().panic_threshold(50);
    let (mut updater, balancer) = world(First::new(), config);
    updater.apply(&snapshot([1, 2], 1), at(0));
    let tried = Tried::new();
    drop(pick(&balancer, &tried, at(0)).unwrap());
    assert!(!balancer.is_in_panic(at(0)));
    // The other thread has begun to recompute, and the kernel has suspended it.
    assert!(balancer.published.current().validity.begin());
    for port in [1, 2] {
        balancer.set_health(addr(port), Health::Unhealthy, at(0));
    }
    let request = PickRequest::new(&tried);
    assert!(pick(&balancer, &tried, at(0)).is_ok());
    assert!(balancer.has_candidate(&request, at(0)));
    assert!(balancer.is_in_panic(at(0)));
    let explained = balancer.explain(&request, at(0), &mut SplitMix64::new(1));
    assert_eq!(explained.unwrap().chosen, Some(addr(1)));
}

#[test]
fn a_new_membership_ignores_ejections_that_have_ended() {
    let config = BalancerConfig::default()
        .panic_threshold(50)
        .outlier_detection(one_failure_ejects());
    let (mut updater, balancer) = world(First::new(), config);
    updater.apply(&snapshot(1..5, 1), at(1));
    for (port, now) in [(2, at(100)), (3, at(200)), (4, at(300))] {
        let mut others = Tried::new();
        (1..5)
            .filter(|&other| other != port)
            .for_each(|other| others.insert(addr(other)));
        let _ = pick(&balancer, &others, now).unwrap().failed(now);
    }
    balancer.set_health(addr(1), Health::Unhealthy, at(10_000));
    updater.apply(&snapshot(1..5, 2), at(10_000));
    assert!(balancer.published.current().validity.begin());
    let picked = pick(&balancer, &Tried::new(), at(10_000)).unwrap();
    assert_eq!(
        picked.addr(),
        addr(2),
        "three of four are healthy: no panic"
    );
}

#[test]
fn a_success_after_an_ejection_clears_the_suspicion() {
    let config = BalancerConfig::default().outlier_detection(one_failure_ejects());
    let (mut updater, balancer) = world(First::new(), config);
    updater.apply(&snapshot([1, 2], 1), at(0));
    let _ = pick(&balancer, &Tried::new(), at(0)).unwrap().failed(at(0));
    let is_suspect = || {
        let set = balancer.set();
        set.find(addr(1)).unwrap().state().standing().is_suspect()
    };
    assert!(is_suspect());
    let picked = pick(&balancer, &Tried::new(), at(1000)).unwrap();
    assert_eq!(picked.addr(), addr(1));
    picked.connected(at(1000));
    assert!(!is_suspect());
}

#[test]
fn leases_of_a_backend_without_a_load_index_update_none() {
    let (mut updater, balancer) = world(LeastConn::new(), BalancerConfig::default());
    let backup = |port| Backend::new(addr(port)).priority(Priority::BACKUP);
    let of = |backups: u16| -> Snapshot {
        let primaries = (1..41).map(|port| Backend::new(addr(port)));
        primaries.chain((101..101 + backups).map(backup)).collect()
    };
    let is_indexed = || {
        let set = balancer.set();
        set.find(addr(101)).unwrap().state().standing().is_indexed()
    };
    updater.apply(&of(40), at(0));
    assert!(is_indexed());
    updater.apply(&of(5), at(0));
    assert!(!is_indexed());
}
