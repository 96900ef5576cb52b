//! Faults that happen to the balancer that holds the address.

use rustix::process::Signal;
use test_support::deadline::ms;

use super::network::VrrpNetwork;
use crate::balancer::BalancerOptions;
use crate::figures::{Target, is_measuring, measure};
use crate::keepalived::Variant;
use crate::lan::DEVICE;
use crate::requirements;

/// The time that keepalived needs to miss three advertisements, 0.1 s each, and to take over.
const NODE: Target = Target::Gap(ms(400));

#[test]
fn a_killed_balancer_gives_the_address_up_at_once() {
    every_variant("balancer SIGKILLed", Target::Gap(ms(300)), |network| {
        network.first.balancer.signal(Signal::KILL);
    });
}

#[test]
fn a_frozen_balancer_gives_the_address_up_when_its_heartbeat_is_missed() {
    if !requirements::are_met() {
        return;
    }
    let options = BalancerOptions {
        ready_file: "heartbeat=300ms",
        supervised: true,
        ..BalancerOptions::DEFAULT
    };
    // The heartbeat, and what a killed balancer may cost.
    let target = Target::Gap(ms(300 + 300));
    for variant in Variant::ALL {
        let fault = format!("balancer SIGSTOP, heartbeat 0.3 s, {}", variant.name());
        measure(&fault, target, || {
            let mut network = VrrpNetwork::start_with(variant, options);
            let stop = |network: &mut VrrpNetwork| network.first.balancer.signal(Signal::STOP);
            network.strike(stop, VrrpNetwork::has_moved)
        });
    }
}

#[test]
fn a_link_that_goes_down_moves_the_address() {
    one_variant("link down", |network| {
        network
            .first
            .machine
            .ip(&["link", "set", DEVICE, "down"])
            .unwrap();
    });
}

#[test]
fn a_lost_carrier_moves_the_address() {
    one_variant("carrier lost", |network| {
        network.lan.set_port("lb1", "down")
    });
}

#[test]
fn a_dead_node_loses_the_address() {
    if !requirements::are_met() {
        return;
    }
    measure("node dead", NODE, || {
        let mut network = VrrpNetwork::start(Variant::Nopreempt);
        let die = |network: &mut VrrpNetwork| {
            network.lan.unplug("lb1");
            network.first.signal_all(Signal::KILL);
        };
        // The kernel of a machine that is dead in earnest forgets the address, too.
        network.strike(die, |network| network.second.holds())
    });
}

#[test]
fn a_frozen_node_loses_the_address_and_returns_it_when_it_wakes() {
    if !requirements::are_met() {
        return;
    }
    measure("node frozen", NODE, || {
        let mut network = VrrpNetwork::start(Variant::Nopreempt);
        let freeze = |network: &mut VrrpNetwork| network.first.signal_all(Signal::STOP);
        let run = network.strike(freeze, |network| network.second.holds());
        let wake = |network: &mut VrrpNetwork| network.first.signal_all(Signal::CONT);
        network.strike(wake, VrrpNetwork::has_one_holder);
        run
    });
}

#[test]
fn a_partition_ends_with_one_holder() {
    if !requirements::are_met() {
        return;
    }
    let mut healed = Vec::new();
    measure("partition", NODE, || {
        let mut network = VrrpNetwork::start(Variant::Nopreempt);
        let part = |network: &mut VrrpNetwork| network.lan.unplug("lb1");
        let run = network.strike(part, |network| network.second.holds());
        assert!(
            network.first.holds(),
            "each side of a partition has a holder"
        );
        let heal = |network: &mut VrrpNetwork| network.lan.plug("lb1");
        healed.push(network.strike(heal, VrrpNetwork::has_one_holder));
        run
    });
    let mut healed = healed.into_iter();
    let next = || healed.next().unwrap();
    let target = Target::OneHolder {
        gap: ms(300),
        together: ms(200),
    };
    measure("partition healed", target, next);
}

/// Measures a fault after which the other balancer has the address, with one configuration unless the run measures.
fn one_variant(fault: &str, strike: fn(&mut VrrpNetwork)) {
    if !requirements::are_met() {
        return;
    }
    let variants: &[Variant] = if is_measuring() {
        &Variant::ALL
    } else {
        &[Variant::Nopreempt]
    };
    for variant in variants {
        measure_move(fault, *variant, NODE, strike);
    }
}

/// Measures a fault after which the other balancer has the address, with every configuration.
fn every_variant(fault: &str, target: Target, strike: fn(&mut VrrpNetwork)) {
    if !requirements::are_met() {
        return;
    }
    for variant in Variant::ALL {
        measure_move(fault, variant, target, strike);
    }
}

fn measure_move(fault: &str, variant: Variant, target: Target, strike: fn(&mut VrrpNetwork)) {
    let fault = format!("{fault}, {}", variant.name());
    measure(&fault, target, || {
        VrrpNetwork::start(variant).strike(strike, VrrpNetwork::has_moved)
    });
}
