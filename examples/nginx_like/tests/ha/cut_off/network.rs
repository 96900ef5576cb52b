//! The machines: a client, a balancer, two backends behind a link of their own.

use std::net::SocketAddr;

use test_support::namespace::Namespace;

use crate::balancer::{Balancer, BalancerOptions, PORT};
use crate::client::Client;
use crate::echo::Echo;
use crate::lan::Lan;

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
    _echoes: [Echo; 2],
    _backends: [Namespace; 2],
    _dir: tempfile::TempDir,
}

impl Network {
    pub(super) fn start() -> Self {
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

    pub(super) fn client(&self) -> Client {
        let to = SocketAddr::new(self.front.address(1).parse().unwrap(), PORT);
        Client::start(&self.client, to)
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
