//! Faults of one of the two balancers. The other one serves half of the connections all the time.

use rustix::process::Signal;
use test_support::deadline::ms;

use super::network::BgpNetwork;
use super::node::Way;
use crate::balancer::BalancerOptions;
use crate::figures::{Target, measure};
use crate::requirements;

#[test]
fn bfd_withdraws_a_dead_replica() {
    every_way(
        "BGP replica dead",
        Target::Gap(ms(250)),
        &[Way::Link],
        |network| {
            network.lan.unplug("lb1");
            network.first.signal_all(Signal::KILL);
        },
    );
}

#[test]
fn a_replica_that_shuts_down_refuses_no_connection() {
    let ways = [Way::Birdc, Way::Link];
    every_way(
        "BGP replica SIGQUIT",
        Target::NoneRefused,
        &ways,
        |network| {
            network.first.balancer.shut_down();
        },
    );
}

#[test]
fn an_upgrade_refuses_no_connection_and_withdraws_nothing() {
    if !requirements::are_met() {
        return;
    }
    let options = BalancerOptions {
        supervised: true,
        ..BalancerOptions::DEFAULT
    };
    measure("BGP upgrade, link", Target::NoneRefused, || {
        let mut network = BgpNetwork::start_with(Way::Link, options);
        let upgrade = |network: &mut BgpNetwork| network.first.balancer.upgrade();
        let run = network.strike_until(upgrade, |network| network.next_hops() == 2);
        assert_eq!(run.refused, 0, "connections were refused");
        // Sessions are not asserted: BFD takes a BIRD that a busy machine does not run for a dead one.
        assert_eq!(network.withdrawals("lb1"), 0);
        run
    });
}

#[test]
fn a_killed_replica_is_withdrawn() {
    let ways = [Way::Birdc, Way::Link];
    every_way(
        "BGP replica SIGKILLed",
        Target::Gap(ms(300)),
        &ways,
        |network| {
            network.first.balancer.signal(Signal::KILL);
        },
    );
}

fn every_way(fault: &str, target: Target, ways: &[Way], strike: fn(&mut BgpNetwork)) {
    if !requirements::are_met() {
        return;
    }
    for way in ways {
        let fault = format!("{fault}, {}", way.name());
        measure(&fault, target, || {
            let run = BgpNetwork::start(*way).strike(strike);
            if matches!(target, Target::NoneRefused) {
                assert_eq!(run.refused, 0, "connections were refused");
            }
            run
        });
    }
}
