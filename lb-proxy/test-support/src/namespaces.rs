//! Two network namespaces with a link between them, for what loopback lacks: small packets, and loss. Needs root.

use std::fs::File;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::sockets::Pair;

/// The least packet size that every IPv4 link carries unfragmented.
const MTU: &str = "576";

const ADDRS: [&str; 2] = ["192.0.2.1", "192.0.2.2"];

/// The two namespaces. `Drop` removes them, after a panic as well.
#[derive(Debug)]
pub struct Namespaces {
    names: [String; 2],
}

impl Namespaces {
    /// Creates both namespaces and the link.
    ///
    /// # Errors
    ///
    /// Says what is missing: root, `ip`, or a kernel with namespaces.
    pub fn create() -> Result<Self, String> {
        static CREATED: AtomicU32 = AtomicU32::new(0);
        if !rustix::process::geteuid().is_root() {
            return Err("network namespaces need root".to_owned());
        }
        let (pid, n) = (std::process::id(), CREATED.fetch_add(1, Relaxed));
        let namespaces = Self {
            names: ["a", "b"].map(|side| format!("lb-{pid}-{n}-{side}")),
        };
        let [a, b] = &namespaces.names;
        run(&["ip", "netns", "add", a])?;
        run(&["ip", "netns", "add", b])?;
        run(&[
            "ip", "-n", a, "link", "add", "lb", "type", "veth", "peer", "name", "lb", "netns", b,
        ])?;
        for (name, addr) in namespaces.names.iter().zip(ADDRS) {
            let net = format!("{addr}/24");
            run(&["ip", "-n", name, "addr", "add", &net, "dev", "lb"])?;
            // Without `gso_max_segs` the kernel passes on large segments despite the MTU.
            let small = ["mtu", MTU, "gso_max_segs", "1"];
            let link = ["ip", "-n", name, "link", "set", "lb"];
            run(&[&link[..], &small].concat())?;
            run(&[&link[..], &["up"]].concat())?;
        }
        Ok(namespaces)
    }

    /// Drops this part of the packets, such as `1%`, in both directions.
    ///
    /// # Errors
    ///
    /// If the kernel has no netem, or `tc` is missing.
    pub fn lose_packets(&self, part: &str) -> Result<(), String> {
        for name in &self.names {
            run(&[
                "tc", "-n", name, "qdisc", "add", "dev", "lb", "root", "netem", "loss", part,
            ])?;
        }
        Ok(())
    }

    /// Runs `ip` with `args` for the first or second namespace, by its index.
    ///
    /// # Errors
    ///
    /// What `ip` says.
    pub fn ip(&self, index: usize, args: &[&str]) -> Result<(), String> {
        run(&[&["ip", "-n", &self.names[index]], args].concat())
    }

    /// A command that runs `program` in the first or second namespace, by its index.
    pub fn command(&self, index: usize, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.names[index], program]);
        command
    }

    /// Lets the first namespace take packets to any address that arrive on its link, as a transparent proxy needs it,
    /// and routes those to `foreign` from the second there.
    ///
    /// # Errors
    ///
    /// What `ip` says.
    pub fn route_to_first(&self, foreign: &str) -> Result<(), String> {
        self.ip(0, &["link", "set", "lo", "up"])?;
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
        inside(&self.names[index], f)
    }

    /// A connection from the first namespace to the second.
    pub fn pair(&self) -> Pair {
        let addr = SocketAddr::new(ADDRS[1].parse::<IpAddr>().unwrap(), 0);
        let listener = inside(&self.names[1], || TcpListener::bind(addr).unwrap());
        let addr = listener.local_addr().unwrap();
        let near = inside(&self.names[0], || TcpStream::connect(addr).unwrap());
        (near, listener.accept().unwrap().0)
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        for name in &self.names {
            // Fails if `create` failed before it.
            let _ = run(&["ip", "netns", "del", name]);
        }
    }
}

/// Runs `f` in a thread of a namespace. A socket keeps the namespace in which it was created.
fn inside<T: Send>(name: &str, f: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let namespace = File::open(format!("/run/netns/{name}")).unwrap();
            let network = Some(LinkNameSpaceType::Network);
            move_into_link_name_space(namespace.as_fd(), network).unwrap();
            f()
        });
        thread.join().unwrap()
    })
}

fn run(command: &[&str]) -> Result<(), String> {
    let output = Command::new(command[0])
        .args(&command[1..])
        .output()
        .map_err(|error| format!("{}: {error}", command[0]))?;
    if output.status.success() {
        return Ok(());
    }
    let reason = String::from_utf8_lossy(&output.stderr);
    Err(format!("{}: {}", command.join(" "), reason.trim()))
}
