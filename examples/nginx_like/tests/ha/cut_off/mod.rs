//! A balancer without its link, route or address for some seconds: its backends are not to blame.

mod network;

use std::thread::sleep;
use std::time::{Duration, Instant};

use test_support::deadline::ms;

use self::network::Network;
use crate::figures::{Target, measure};
use crate::requirements;

/// How long the balancer is cut off. The connect time-out is 1 s, so connections fail by an error and by time.
const OUTAGE: Duration = Duration::from_secs(3);

#[test]
fn backends_are_forgiven_when_the_link_to_them_is_up_again() {
    let link = |state| move |network: &Network| network.set_link(state);
    cut_off("own link down for 3 s", link("down"), link("up"));
}

#[test]
fn backends_are_forgiven_when_the_carrier_is_back() {
    let port = |state| move |network: &Network| network.back.set_port("lb", state);
    cut_off("own carrier lost for 3 s", port("down"), port("up"));
}

#[test]
fn backends_are_forgiven_when_nothing_is_dropped_any_more() {
    let unplug = |network: &Network| network.back.unplug("lb");
    let plug = |network: &Network| network.back.plug("lb");
    cut_off("own packets dropped for 3 s", unplug, plug);
}

#[test]
fn backends_are_forgiven_when_the_own_address_is_back() {
    let address = |action| move |network: &Network| network.change_address(action);
    cut_off("own address gone for 3 s", address("del"), address("add"));
}

/// The last connection that is not served starts at most so long after the end of the outage.
#[track_caller]
fn cut_off(fault: &str, begin: impl Fn(&Network), end: impl Fn(&Network)) {
    if !requirements::has_namespaces() {
        return;
    }
    measure(fault, Target::Gap(ms(300)), || {
        let network = Network::start();
        let observer = network.observe();
        begin(&network);
        sleep(OUTAGE);
        end(&network);
        let ended = Instant::now();
        observer.calm();
        network.balancer.logged("Ejections forgiven");
        let mut run = observer.stop(ended);
        run.gap = run.last_failure;
        run
    });
}

/// The kernel reports the return: no connection has to be served first.
#[test]
fn backends_are_forgiven_without_a_connection_when_the_kernel_reports_the_return() {
    let link = |state| move |network: &Network| network.set_link(state);
    noticed("own link, noticed by netlink", link("down"), link("up"));
    let address = |action| move |network: &Network| network.change_address(action);
    noticed(
        "own address, noticed by netlink",
        address("del"),
        address("add"),
    );
}

/// Nothing connects from the middle of the outage until the backends are forgiven.
#[track_caller]
fn noticed(fault: &str, begin: impl Fn(&Network), end: impl Fn(&Network)) {
    if !requirements::has_namespaces() {
        return;
    }
    measure(fault, Target::Gap(ms(300)), || {
        let network = Network::start();
        let observer = network.observe();
        begin(&network);
        // Two backends, each ejected by one failure.
        network
            .balancer
            .logged("upstream server temporarily disabled");
        sleep(OUTAGE);
        observer.stop(Instant::now());
        end(&network);
        let ended = Instant::now();
        network.balancer.logged("Ejections forgiven");
        let forgiven = ended.elapsed();
        let mut run = network.observe().stop(ended);
        run.gap = forgiven;
        assert_eq!(run.refused + run.unanswered, 0, "{fault}");
        run
    });
}
