//! Tier health, which picks recompute when the standing of a backend changes.

use super::*;
use crate::backend::Health;
use crate::backend::Priority;
use crate::config::BalancerConfig;

/// The shares of a first and a second backend, each alone in its priority.
fn shares(balancer: &Balancer) -> [u32; 2] {
    let membership = balancer.published.current();
    [0, 1].map(|i| membership.tiers()[i].tier.health().share())
}

/// A backend of the first priority and one of the second, which gets what the first priority cannot take.
fn two_priorities() -> (Updater, Arc<Balancer>) {
    let (mut updater, balancer) = world(
        First::new(),
        [backend(1), backend(2).priority(Priority::new(1))],
    );
    updater.set_config(BalancerConfig::default().overprovisioning(100));
    (updater, balancer)
}

#[test]
fn a_change_while_tier_health_is_recomputed_is_not_lost() {
    explore(Some(3), || {
        let (_updater, balancer) = two_priorities();
        let addr = backend(1).addr;
        let changes = run(&balancer, move |balancer| {
            balancer.set_health(addr, Health::Unhealthy, NOW);
            drop(pick(balancer));
        });
        drop(pick(&balancer));
        changes.join().unwrap();
        drop(pick(&balancer));
        assert_eq!(shares(&balancer), [0, 10_000], "a change was lost");
    });
}

/// A health check fails, and the next one succeeds.
#[test]
fn a_second_change_while_tier_health_is_recomputed_is_not_lost() {
    explore(Some(3), || {
        let (_updater, balancer) = two_priorities();
        let addr = backend(1).addr;
        let changes = run(&balancer, move |balancer| {
            balancer.set_health(addr, Health::Unhealthy, NOW);
            balancer.set_health(addr, Health::Healthy, NOW);
        });
        drop(pick(&balancer));
        changes.join().unwrap();
        drop(pick(&balancer));
        assert_eq!(shares(&balancer), [10_000, 0], "a change was lost");
    });
}

#[test]
fn a_thread_that_causes_a_panic_gets_a_backend_in_it() {
    explore(Some(2), || {
        let (mut updater, balancer) = world(First::new(), [backend(1)]);
        updater.set_config(BalancerConfig::default().panic_threshold(50));
        let other = run(&balancer, |balancer| drop(pick(balancer)));
        balancer.set_health(backend(1).addr, Health::Unhealthy, NOW);
        assert!(pick(&balancer).is_ok(), "refused though its tier panics");
        other.join().unwrap();
    });
}
