//! A balancer with BIRD.

use std::path::Path;

use rustix::process::Signal;
use test_support::namespace::Namespace;

use super::network::{ADDRESS, ROUTER};
use crate::balancer::{Balancer, BalancerOptions, ready_file};
use crate::bird::BirdConfig;
use crate::process::Process;

/// How BIRD learns whether the balancer is ready.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Way {
    Birdc,
    Link,
}

impl Way {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Birdc => "birdc",
            Self::Link => "link",
        }
    }
}

#[derive(Debug)]
pub(crate) struct BgpNode {
    // Dropped before their namespace.
    follow: Process,
    bird: Process,
    pub(crate) balancer: Balancer,
    _machine: Namespace,
}

impl BgpNode {
    /// Starts the balancer, and BIRD beside it.
    pub(crate) fn start(
        machine: Namespace,
        own: &str,
        dir: &Path,
        way: Way,
        backends: &[String],
        options: BalancerOptions<'_>,
    ) -> Self {
        machine
            .ip(&["addr", "add", &format!("{ADDRESS}/32"), "dev", "lo"])
            .unwrap();
        machine
            .ip(&["route", "add", "default", "via", ROUTER])
            .unwrap();
        add_link(&machine);
        let balancer = Balancer::start(&machine, dir, backends, options);
        let address = format!("{ADDRESS}/32");
        let definitions = [("ADDRESS", &*address), ("SELF", own), ("PEER", ROUTER)];
        let setup = BirdConfig::new(&format!("{}.conf", way.name()), &definitions, dir);
        let bird = setup.start(&machine);
        let is_up = || setup.ask(&["show", "status"]).contains("up and running");
        crate::process::eventually("BIRD", is_up);
        let follow = setup.follow(&machine, way.name(), &ready_file(dir));
        Self {
            follow,
            bird,
            balancer,
            _machine: machine,
        }
    }

    /// Sends `signal` to all of its processes, as if the machine had failed.
    pub(crate) fn signal_all(&self, signal: Signal) {
        for process in [&self.follow, &self.bird] {
            process.signal_all(signal);
        }
        self.balancer.signal_all(signal);
    }
}

/// Adds the link whose state is the readiness. A bridge without ports does where the kernel has no dummy device.
fn add_link(machine: &Namespace) {
    let add = |kind: &str| machine.ip(&["link", "add", "anycast", "type", kind]);
    add("dummy").or_else(|_| add("bridge")).unwrap();
}
