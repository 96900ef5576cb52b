//! A balancer without its link, route or address for some seconds: its backends are not to blame.

use std::net::SocketAddr;
use std::thread::sleep;
use std::time::{Duration, Instant};

use test_support::deadline::ms;
use test_support::namespace::Namespace;

use crate::balancer::{Balancer, BalancerOptions, PORT};
use crate::client::Client;
use crate::echo::Echo;
use crate::figures::{Run, Target, measure};
use crate::lan::Lan;
use crate::process::eventually;
use crate::requirements;

/// How long the balancer is cut off. The connect time-out is 1 s, so connections fail by an error and by time.
const OUTAGE: Duration = Duration::from_secs(3);

/// How long an ejection lasts: longer than any test. What is served after the outage is forgiven.
const EJECTION: BalancerOptions<'_> = BalancerOptions {
    server: "max_fails=1 fail_timeout=1h",
    ..BalancerOptions::DEFAULT
};

const BACK: &str = "back0";

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
    let address = |action| {
        move |network: &Network| {
            let address = format!("{}/24", network.back.address(1));
            let args = ["addr", action, &address, "dev", BACK];
            network.balancer_machine.ip(&args).unwrap();
        }
    };
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
        let started = Instant::now();
        let client = network.client();
        eventually("the first answers", || client.is_served_since(started));
        begin(&network);
        sleep(OUTAGE);
        end(&network);
        let ended = Instant::now();
        eventually("answers after the outage", || client.is_served_since(ended));
        network.balancer.logged("Ejections forgiven");
        let attempts = client.stop();
        let mut run = Run::of(&attempts, ended);
        run.gap = Run::last_failure(&attempts, ended);
        run
    });
}

/// A client, a balancer with two links, and two backends behind the second link.
struct Network {
    balancer: Balancer,
    balancer_machine: Namespace,
    back: Lan,
    front: Lan,
    client: Namespace,
    _echoes: [Echo; 2],
    _backends: [Namespace; 2],
    _dir: tempfile::TempDir,
}

impl Network {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (front, back) = (Lan::new("10.79.1"), Lan::new("10.79.2"));
        let client = front.machine("c", 9);
        let backends = [back.machine("be1", 11), back.machine("be2", 12)];
        let echoes = [0, 1].map(|index| Echo::start(&backends[index], PORT));
        let balancer_machine = front.machine("lb", 1);
        back.attach(&balancer_machine, BACK, "lb", 1);
        let addresses = [back.address(11), back.address(12)];
        let balancer = Balancer::start(&balancer_machine, dir.path(), &addresses, EJECTION);
        Self {
            balancer,
            balancer_machine,
            back,
            front,
            client,
            _echoes: echoes,
            _backends: backends,
            _dir: dir,
        }
    }

    fn client(&self) -> Client {
        let to = SocketAddr::new(self.front.address(1).parse().unwrap(), PORT);
        Client::start(&self.client, to)
    }

    fn set_link(&self, state: &str) {
        let args = ["link", "set", BACK, state];
        self.balancer_machine.ip(&args).unwrap();
    }
}
