//! The two backends of a network.

use test_support::namespace::Namespace;

use crate::balancer::PORT;
use crate::echo::Echo;
use crate::lan::Lan;

/// Machines with an echo server each. They run as long as this lives.
#[derive(Debug)]
pub(crate) struct Backends {
    // Dropped before their namespaces.
    _echoes: [Echo; 2],
    _machines: [Namespace; 2],
    addresses: [String; 2],
}

impl Backends {
    /// Plugs the machines into `lan`.
    pub(crate) fn start(lan: &Lan) -> Self {
        let hosts = [11, 12];
        let machines = hosts.map(|host| lan.machine(&format!("be{host}"), host));
        Self {
            _echoes: [0, 1].map(|index| Echo::start(&machines[index], PORT)),
            _machines: machines,
            addresses: hosts.map(|host| lan.address(host)),
        }
    }

    /// Their addresses, without the port.
    pub(crate) fn addresses(&self) -> &[String] {
        &self.addresses
    }
}
