//! Two network namespaces with a link between them, for what loopback does not have: small packets, and loss.

#![allow(dead_code, reason = "every test file uses its own part")]

use std::fs::File;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::link::Pair;

/// The least that IPv4 has to carry in one piece.
const MTU: &str = "576";

const ADDRS: [&str; 2] = ["192.0.2.1", "192.0.2.2"];

/// Removed when dropped, in a panic as well.
#[derive(Debug)]
pub(crate) struct Namespaces {
    names: [String; 2],
}

impl Namespaces {
    /// `Err` says what is missing.
    pub(crate) fn create() -> Result<Self, String> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        if !rustix::process::geteuid().is_root() {
            return Err("network namespaces need root".to_owned());
        }
        let (pid, n) = (std::process::id(), MADE.fetch_add(1, Relaxed));
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
            // Without the second part the kernel would hand on large pieces nevertheless.
            let small = ["mtu", MTU, "gso_max_segs", "1"];
            let link = ["ip", "-n", name, "link", "set", "lb"];
            run(&[&link[..], &small].concat())?;
            run(&[&link[..], &["up"]].concat())?;
        }
        Ok(namespaces)
    }

    /// Has every `part` of the packets lost, in both directions. `Err` where the kernel cannot.
    pub(crate) fn lose_packets(&self, part: &str) -> Result<(), String> {
        for name in &self.names {
            run(&[
                "tc", "-n", name, "qdisc", "add", "dev", "lb", "root", "netem", "loss", part,
            ])?;
        }
        Ok(())
    }

    /// A connection from the first namespace to the second.
    pub(crate) fn pair(&self) -> Pair {
        let addr = SocketAddr::new(ADDRS[1].parse::<IpAddr>().unwrap(), 0);
        let listener = within(&self.names[1], || TcpListener::bind(addr).unwrap());
        let addr = listener.local_addr().unwrap();
        let near = within(&self.names[0], || TcpStream::connect(addr).unwrap());
        (near, listener.accept().unwrap().0)
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        for name in &self.names {
            // It may not have come to be.
            let _ = run(&["ip", "netns", "del", name]);
        }
    }
}

/// Runs `f` in a thread of a namespace. Sockets stay where they were made.
fn within<T: Send>(name: &str, f: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let inside = scope.spawn(|| {
            let namespace = File::open(format!("/run/netns/{name}")).unwrap();
            let network = Some(LinkNameSpaceType::Network);
            move_into_link_name_space(namespace.as_fd(), network).unwrap();
            f()
        });
        inside.join().unwrap()
    })
}

fn run(command: &[&str]) -> Result<(), String> {
    let said = Command::new(command[0])
        .args(&command[1..])
        .output()
        .map_err(|error| format!("{}: {error}", command[0]))?;
    if said.status.success() {
        return Ok(());
    }
    let why = String::from_utf8_lossy(&said.stderr);
    Err(format!("{}: {}", command.join(" "), why.trim()))
}
