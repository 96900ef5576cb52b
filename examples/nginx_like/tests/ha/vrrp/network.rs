//! The machines: a client, two balancers, two backends on one switch.

use std::net::SocketAddr;
use std::time::Instant;

use tempfile::TempDir;
use test_support::namespace::Namespace;

use super::node::VrrpNode;
use crate::backends::Backends;
use crate::balancer::{BalancerOptions, PORT};
use crate::figures::Run;
use crate::keepalived::Variant;
use crate::lan::Lan;
use crate::observer::Observer;
use crate::process::eventually;

pub(crate) const ADDRESS: &str = "10.77.0.100";

/// How many sessions are open at a fault.
pub(crate) const SESSIONS: usize = 20;

#[derive(Debug)]
pub(crate) struct VrrpNetwork {
    pub(crate) first: VrrpNode,
    pub(crate) second: VrrpNode,
    pub(crate) lan: Lan,
    client: Namespace,
    _backends: Backends,
    _dir: TempDir,
}

impl VrrpNetwork {
    /// Builds it, and waits until `first` holds the address and both balancers serve.
    pub(crate) fn start(variant: Variant) -> Self {
        Self::start_with(variant, BalancerOptions::DEFAULT)
    }

    /// The same. The configuration of keepalived decides about the numbers of `lb_ready_file`.
    pub(crate) fn start_with(variant: Variant, options: BalancerOptions<'_>) -> Self {
        let ready_file = format!("{} {}", variant.ready_file(), options.ready_file);
        let options = BalancerOptions {
            ready_file: &ready_file,
            ..options
        };
        let dir = tempfile::tempdir().unwrap();
        let lan = Lan::new("10.77.0");
        let client = lan.machine("c", 9);
        let backends = Backends::start(&lan);
        let node = |name, host| {
            let machine = lan.machine(name, host);
            VrrpNode::start(
                machine,
                name,
                dir.path(),
                variant,
                ADDRESS,
                backends.addresses(),
                options,
            )
        };
        // Without preemption the one that starts first keeps the address.
        let first = node("lb1", 1);
        eventually("the address of lb1", || first.holds());
        let second = node("lb2", 2);
        second.waits();
        Self {
            first,
            second,
            lan,
            client,
            _backends: backends,
            _dir: dir,
        }
    }

    /// Watches what `fault` does to a client that connects all the time and to sessions that are open, until `settled`.
    pub(crate) fn strike(
        &mut self,
        fault: impl FnOnce(&mut Self),
        settled: impl Fn(&Self) -> bool,
    ) -> Run {
        let to = SocketAddr::new(ADDRESS.parse().unwrap(), PORT);
        let observer = Observer::start(&self.client, to, SESSIONS);
        let struck = Instant::now();
        fault(self);
        eventually("the end of the fault", || settled(self));
        observer.calm();
        let together = self.first.together(&self.second, struck);
        Run {
            together,
            ..observer.stop(struck)
        }
    }

    /// Whether the second balancer alone has the address.
    pub(crate) fn has_moved(&self) -> bool {
        self.second.holds() && !self.first.holds()
    }

    /// Whether the first balancer has had the address all the time, and the second one never.
    pub(crate) fn has_never_moved(&self) -> bool {
        self.first.has_always_held() && self.second.has_never_held()
    }

    /// Whether one balancer has the address, and the other has not.
    pub(crate) fn has_one_holder(&self) -> bool {
        self.first.holds() != self.second.holds()
    }
}
