//! Sessions of the balancer that the address has left.

use std::time::Instant;

use test_support::deadline::ms;

use super::network::{ADDRESS, SESSIONS, VrrpNetwork};
use crate::balancer::ORPHAN_TIMEOUT;
use crate::figures::{Target, measure};
use crate::keepalived::Variant;
use crate::process::eventually;
use crate::requirements;

/// The balancer lives and gives the address up. Nothing tells its sessions but the kernel's report that the address is gone.
#[test]
fn sessions_of_an_address_that_moved_to_the_other_balancer_end_in_time() {
    if !requirements::are_met() {
        return;
    }
    let target = Target::Gap(ORPHAN_TIMEOUT + ms(300));
    measure("sessions of the old holder, equal", target, || {
        let mut network = VrrpNetwork::start(Variant::Equal);
        let mut lasted = None;
        let move_away = |network: &mut VrrpNetwork| {
            network.first.hand_over(-50);
            eventually("the move", || network.has_moved());
            let moved = Instant::now();
            let open = network.first.sessions(ADDRESS);
            assert!(open >= SESSIONS, "the kernel ends none of them: {open}");
            eventually("the ends", || network.first.sessions(ADDRESS) == 0);
            lasted = Some(moved.elapsed());
        };
        let mut run = network.strike(move_away, VrrpNetwork::has_moved);
        run.gap = lasted.unwrap();
        run
    });
}
