//! The machines: a client, a balancer, two backends behind a link of their own.

use std::net::SocketAddr;

use test_support::namespace::Namespace;

use crate::backends::Backends;
use crate::balancer::{Balancer, BalancerOptions, PORT};
use crate::lan::Lan;
use crate::observer::Observer;

/// How long an ejection lasts: longer than any test. What is served after the outage is forgiven.
const EJECTION: BalancerOptions<'_> = BalancerOptions {
    server: "max_fails=1 fail_timeout=1h",
    ..BalancerOptions::DEFAULT
};

const BACK: &str = "back0";

/// A client, a balancer with two links, and two backends behind the second link.
pub(super) struct Network {
    pub(super) balancer: Balancer,
    balancer_machine: Namespace,
    pub(super) back: Lan,
    front: Lan,
    client: Namespace,
    _backends: Backends,
    _dir: tempfile::TempDir,
}

impl Network {
    pub(super) fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (front, back) = (Lan::new("10.79.1"), Lan::new("10.79.2"));
        let client = front.machine("c", 9);
        let backends = Backends::start(&back);
        let balancer_machine = front.machine("lb", 1);
        back.attach(&balancer_machine, BACK, "lb", 1);
        let addresses = backends.addresses();
        let balancer = Balancer::start(&balancer_machine, dir.path(), addresses, EJECTION);
        Self {
            balancer,
            balancer_machine,
            back,
            front,
            client,
            _backends: backends,
            _dir: dir,
        }
    }

    /// Begins to observe, without sessions.
    pub(super) fn observe(&self) -> Observer {
        let to = SocketAddr::new(self.front.address(1).parse().unwrap(), PORT);
        Observer::start(&self.client, to, 0)
    }

    pub(super) fn set_link(&self, state: &str) {
        let args = ["link", "set", BACK, state];
        self.balancer_machine.ip(&args).unwrap();
    }

    /// Adds or deletes its own address in the network of the backends.
    pub(super) fn change_address(&self, action: &str) {
        let address = format!("{}/24", self.back.address(1));
        let args = ["addr", action, &address, "dev", BACK];
        self.balancer_machine.ip(&args).unwrap();
    }
}
