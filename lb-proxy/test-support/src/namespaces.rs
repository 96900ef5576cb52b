//! Two network namespaces with a link between them, for what loopback lacks: small packets, and loss. Needs root.

use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::process::Command;

use crate::namespace::{Namespace, run};
use crate::sockets::Pair;

/// The least packet size that every IPv4 link carries unfragmented.
const MTU: &str = "576";

const ADDRS: [&str; 2] = ["192.0.2.1", "192.0.2.2"];

/// The two namespaces. `Drop` removes them, after a panic as well.
#[derive(Debug)]
pub struct Namespaces {
    both: [Namespace; 2],
}

impl Namespaces {
    /// Creates both namespaces and the link.
    ///
    /// # Errors
    ///
    /// Says what is missing: root, `ip`, or a kernel with namespaces.
    pub fn create() -> Result<Self, String> {
        let both = [Namespace::create("a")?, Namespace::create("b")?];
        both[0].link("lb", &both[1], "lb")?;
        for (namespace, addr) in both.iter().zip(ADDRS) {
            let net = format!("{addr}/24");
            namespace.ip(&["addr", "add", &net, "dev", "lb"])?;
            // Without `gso_max_segs` the kernel passes on large segments despite the MTU.
            namespace.ip(&["link", "set", "lb", "mtu", MTU, "gso_max_segs", "1"])?;
            namespace.ip(&["link", "set", "lb", "up"])?;
        }
        Ok(Self { both })
    }

    /// Drops this part of the packets, such as `1%`, in both directions.
    ///
    /// # Errors
    ///
    /// If the kernel has no netem, or `tc` is missing.
    pub fn lose_packets(&self, part: &str) -> Result<(), String> {
        for namespace in &self.both {
            let args = ["qdisc", "add", "dev", "lb", "root", "netem", "loss", part];
            let mut command = Command::new("tc");
            run(command.args(["-n", namespace.name()]).args(args))?;
        }
        Ok(())
    }

    /// Runs `ip` with `args` for the first or second namespace, by its index.
    ///
    /// # Errors
    ///
    /// What `ip` says.
    pub fn ip(&self, index: usize, args: &[&str]) -> Result<(), String> {
        self.both[index].ip(args)
    }

    /// A command that runs `program` in the first or second namespace, by its index.
    pub fn command(&self, index: usize, program: &str) -> Command {
        self.both[index].command(program)
    }

    /// Lets the first namespace take packets to any address that arrive on its link, as a transparent proxy needs it,
    /// and routes those to `foreign` from the second there.
    ///
    /// # Errors
    ///
    /// What `ip` says.
    pub fn route_to_first(&self, foreign: &str) -> Result<(), String> {
        self.ip(0, &["rule", "add", "iif", "lb", "lookup", "100"])?;
        let all = [
            "route",
            "add",
            "local",
            "0.0.0.0/0",
            "dev",
            "lo",
            "table",
            "100",
        ];
        self.ip(0, &all)?;
        self.ip(1, &["route", "add", foreign, "via", ADDRS[0]])
    }

    /// Runs `f` in a thread of the first or second namespace, by its index. A socket keeps the namespace in which it was
    /// created.
    pub fn inside<T: Send>(&self, index: usize, f: impl FnOnce() -> T + Send) -> T {
        self.both[index].inside(f)
    }

    /// A connection from the first namespace to the second.
    pub fn pair(&self) -> Pair {
        let addr = SocketAddr::new(ADDRS[1].parse::<IpAddr>().unwrap(), 0);
        let listener = self.inside(1, || TcpListener::bind(addr).unwrap());
        let addr = listener.local_addr().unwrap();
        let near = self.inside(0, || TcpStream::connect(addr).unwrap());
        (near, listener.accept().unwrap().0)
    }
}
