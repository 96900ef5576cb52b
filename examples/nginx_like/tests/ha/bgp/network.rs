//! The machines: a client, a router, two balancers and two backends behind it.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use test_support::namespace::Namespace;

use super::node::{BgpNode, Way};
use crate::backends::Backends;
use crate::balancer::{BalancerOptions, PORT};
use crate::bird::BirdConfig;
use crate::figures::Run;
use crate::lan::{Lan, ip_output, sysctl};
use crate::observer::Observer;
use crate::output::show;
use crate::process::{Process, eventually};

pub(crate) const ADDRESS: &str = "10.78.100.1";
pub(crate) const ROUTER: &str = "10.78.1.254";
const ROUTER_OF_CLIENT: &str = "10.78.0.254";

/// A fault that costs more prints what the router knows.
const LONG: Duration = Duration::from_secs(1);

/// How many sessions are open at a fault, over both balancers.
const SESSIONS: usize = 40;

#[derive(Debug)]
pub(crate) struct BgpNetwork {
    pub(crate) first: BgpNode,
    _second: BgpNode,
    pub(crate) lan: Lan,
    client: Namespace,
    /// BIRD of the router.
    setup: BirdConfig,
    _bird: Process,
    router: Namespace,
    _backends: Backends,
    _outside: Lan,
    _dir: TempDir,
}

impl BgpNetwork {
    /// Builds it, and waits until the router spreads connections over both balancers and BFD watches both.
    pub(crate) fn start(way: Way) -> Self {
        Self::start_with(way, BalancerOptions::DEFAULT)
    }

    /// The same with `options` of both balancers.
    pub(crate) fn start_with(way: Way, options: BalancerOptions<'_>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (outside, lan) = (Lan::new("10.78.0"), Lan::new("10.78.1"));
        let client = outside.machine("c", 9);
        // Otherwise the kernel draws a new hash for a lost packet, and the router beside it uses that one.
        sysctl(&client, "net.core.txrehash=0");
        let router = outside.machine("r", 254);
        lan.attach(&router, "eth1", "r", 254);
        sysctl(&router, "net.ipv4.ip_forward=1");
        sysctl(&router, "net.ipv4.fib_multipath_hash_policy=1");
        client
            .ip(&["route", "add", "default", "via", ROUTER_OF_CLIENT])
            .unwrap();
        let backends = Backends::start(&lan);
        let node = |name, host| {
            let (machine, dir) = (lan.machine(name, host), dir.path().join(name));
            let own = lan.address(host);
            BgpNode::start(machine, &own, &dir, way, backends.addresses(), options)
        };
        let (first, second) = (node("lb1", 1), node("lb2", 2));
        let (setup, bird) = start_router(&router, &lan, dir.path());
        let network = Self {
            setup,
            first,
            _second: second,
            lan,
            client,
            _bird: bird,
            router,
            _backends: backends,
            _outside: outside,
            _dir: dir,
        };
        eventually("both routes", || network.next_hops() == 2);
        let sessions = || network.setup.ask(&["show", "bfd", "sessions"]);
        eventually("BFD", || sessions().matches(" Up ").count() == 2);
        network
    }

    /// Over how many balancers the router spreads connections.
    pub(crate) fn next_hops(&self) -> usize {
        let route = ip_output(&self.router, &["route", "show", ADDRESS]);
        route.matches("via ").count()
    }

    /// How many withdrawals the router has received from `lb1` or `lb2` in the session that it has with it now.
    pub(crate) fn withdrawals(&self, neighbor: &str) -> u32 {
        let shown = self.setup.ask(&["show", "protocols", "all", neighbor]);
        let mut lines = shown.lines();
        let line = lines.find_map(|line| line.trim().strip_prefix("Import withdraws:"));
        let received = line.and_then(|counts| counts.split_whitespace().next()?.parse().ok());
        received.unwrap_or_else(|| panic!("no number of withdrawals in {shown}"))
    }

    /// Watches what `fault` does to a client that connects all the time and to sessions that are open, until the router
    /// has one balancer left. The gap is the time in which connections failed.
    pub(crate) fn strike(&mut self, fault: impl FnOnce(&mut Self)) -> Run {
        self.strike_until(fault, |network| network.next_hops() == 1)
    }

    /// The same, until `settled`.
    pub(crate) fn strike_until(
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
        let mut run = observer.stop(struck);
        run.gap = run.last_failure;
        let both_serve = self.next_hops() == 2;
        if run.gap > LONG || (both_serve && run.cut > 0) {
            // A session of the other replica that was lost as well, for instance because BFD was not scheduled in time.
            let asked = [&["show", "bfd", "sessions"][..], &["show", "protocols"]];
            let [bfd, protocols] = asked.map(|request| self.setup.ask(request));
            show(&format!(
                "{run:?}\nthe router afterwards:\n{bfd}\n{protocols}"
            ));
        }
        run
    }
}

fn start_router(router: &Namespace, lan: &Lan, dir: &Path) -> (BirdConfig, Process) {
    let address = format!("{ADDRESS}/32");
    let (first, second) = (lan.address(1), lan.address(2));
    let definitions = [
        ("ADDRESS", &*address),
        ("SELF", ROUTER),
        ("LB1", &*first),
        ("LB2", &*second),
    ];
    let setup = BirdConfig::new("router.conf", &definitions, &dir.join("r"));
    let bird = setup.start(router);
    (setup, bird)
}
