//! What is worked out of the health of all is worked out again when that changes.

use super::*;
use crate::backend::Priority;
use crate::config::BalancerConfig;
use crate::state::health::Health;

/// The shares of a first and a second backend, each alone in its priority.
fn shares(balancer: &Balancer) -> [u32; 2] {
    let compiled = balancer.shared.current();
    [0, 1].map(|i| compiled.levels[i].vitals.share())
}

#[test]
fn news_while_vitals_are_worked_out_is_not_lost() {
    explore(Some(3), || {
        let (mut updater, balancer) = world(
            First::new(),
            [backend(1), backend(2).with_priority(Priority::new(1))],
        );
        updater.set_config(BalancerConfig::default().with_overprovisioning(100));
        let addr = backend(1).addr;
        let news = run(&balancer, move |balancer| {
            balancer.set_health(addr, Health::Unhealthy, NOW);
            drop(pick(balancer));
        });
        drop(pick(&balancer));
        news.join().unwrap();
        drop(pick(&balancer));
        assert_eq!(shares(&balancer), [0, 10_000], "news was lost");
    });
}

#[test]
fn whoever_causes_a_panic_is_served_in_it() {
    explore(Some(2), || {
        let (mut updater, balancer) = world(First::new(), [backend(1)]);
        updater.set_config(BalancerConfig::default().with_panic_threshold(50));
        let other = run(&balancer, |balancer| drop(pick(balancer)));
        balancer.set_health(backend(1).addr, Health::Unhealthy, NOW);
        assert!(pick(&balancer).is_ok(), "refused though its tier panics");
        other.join().unwrap();
    });
}
