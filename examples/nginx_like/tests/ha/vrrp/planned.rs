//! Planned work: no connection is refused.

use rustix::process::Signal;

use super::network::{ADDRESS, VrrpNetwork};
use crate::balancer::BalancerOptions;
use crate::figures::{Run, Target, measure};
use crate::keepalived::Variant;
use crate::requirements;

/// The script that is shipped beside the configurations of keepalived.
const WAIT: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/ha/keepalived/wait-for-withdrawal"
);

#[test]
fn a_reload_refuses_no_connection_and_cuts_no_session() {
    if !requirements::are_met() {
        return;
    }
    measure("reload", Target::NoneRefused, || {
        let mut network = VrrpNetwork::start(Variant::Nopreempt);
        let reload = |network: &mut VrrpNetwork| {
            network.first.balancer.signal(Signal::HUP);
            network.first.balancer.logged("Configuration applied");
        };
        let run = network.strike(reload, |_| true);
        assert_eq!(run.cut, 0, "sessions go on");
        assert!(network.first.holds());
        refuses_none(run)
    });
}

#[test]
fn a_shutdown_refuses_no_connection() {
    if !requirements::are_met() {
        return;
    }
    for variant in Variant::ALL {
        let fault = format!("balancer SIGQUIT, {}", variant.name());
        measure(&fault, Target::NoneRefused, || {
            let mut network = VrrpNetwork::start(variant);
            let quit = |network: &mut VrrpNetwork| network.first.balancer.shut_down();
            refuses_none(network.strike(quit, VrrpNetwork::has_moved))
        });
    }
}

#[test]
fn a_hand_over_refuses_no_connection_and_moves_the_address_once() {
    if !requirements::are_met() {
        return;
    }
    measure("planned hand-over, equal", Target::NoneRefused, || {
        let mut network = VrrpNetwork::start(Variant::Equal);
        let hand_over = |network: &mut VrrpNetwork| network.first.hand_over(-50);
        let run = network.strike(hand_over, VrrpNetwork::has_moved);
        // The first has its priority back: with equal ones the address stays.
        let back = |network: &mut VrrpNetwork| network.first.hand_over(0);
        let stayed = network.strike(back, VrrpNetwork::has_moved);
        assert_eq!(stayed.cut, 0, "nothing moves back");
        refuses_none(run)
    });
}

/// No time has to be guessed: the command returns when the address has moved.
#[test]
fn a_shutdown_that_waits_for_the_address_to_go_refuses_no_connection() {
    if !requirements::are_met() {
        return;
    }
    let withdrawal = format!("lb_withdraw_command {WAIT} {ADDRESS}; lb_withdraw_timeout 20s;");
    let options = BalancerOptions {
        withdrawal: &withdrawal,
        ..BalancerOptions::DEFAULT
    };
    for variant in Variant::ALL {
        let fault = format!("balancer SIGQUIT, lb_withdraw_command, {}", variant.name());
        measure(&fault, Target::NoneRefused, || {
            let mut network = VrrpNetwork::start_with(variant, options);
            let quit = |network: &mut VrrpNetwork| network.first.balancer.shut_down();
            let run = network.strike(quit, VrrpNetwork::has_moved);
            network.first.balancer.logged("Withdraw command ended");
            refuses_none(run)
        });
    }
}

#[test]
fn an_upgrade_refuses_no_connection_cuts_no_session_and_moves_no_address() {
    if !requirements::are_met() {
        return;
    }
    let options = BalancerOptions {
        supervised: true,
        ..BalancerOptions::DEFAULT
    };
    measure("upgrade", Target::NoneRefused, || {
        let mut network = VrrpNetwork::start_with(Variant::Nopreempt, options);
        let upgrade = |network: &mut VrrpNetwork| network.first.balancer.upgrade();
        let run = network.strike(upgrade, |_| true);
        assert_eq!(run.cut, 0, "sessions go on");
        assert!(network.has_never_moved(), "the address stays");
        refuses_none(run)
    });
}

fn refuses_none(run: Run) -> Run {
    assert_eq!(run.refused, 0, "connections were refused");
    run
}
