//! Outlier detection among the backends of a balancer.

use super::*;
use crate::config::BalancerConfig;
use crate::state::outlier::OutlierDetection;

/// A lease of each of two backends, whose failures only outlier detection counts.
fn leases(balancer: &Balancer) -> [Pick; 2] {
    let mut tried = Tried::new();
    [1, 2].map(|port| {
        let request = PickRequest::new(&tried);
        let pick = balancer.pick(&request, NOW, &mut SplitMix64::new(1));
        tried.insert(backend(port).addr);
        pick.unwrap()
    })
}

#[test]
fn outliers_of_one_moment_are_not_ejected_beyond_the_share() {
    explore(Some(2), || {
        let backends = [1, 2].map(|port| backend(port).fail_limit(None));
        let (mut updater, balancer) = world(First::new(), backends);
        let one_of_two = OutlierDetection::default()
            .consecutive_failures(1)
            .max_ejected_percent(50);
        updater.set_config(BalancerConfig::default().outlier_detection(one_of_two));
        let [first, second] = leases(&balancer);
        let fails = run(&balancer, |_| {
            first.failed(NOW);
        });
        second.failed(NOW);
        fails.join().unwrap();
        let membership = balancer.published.current();
        let slots = membership.tiers()[0].tier.slots().iter();
        let ejected = slots.filter(|slot| slot.state().ejected_until(NOW).is_some());
        assert_eq!(ejected.count(), 1);
    });
}
