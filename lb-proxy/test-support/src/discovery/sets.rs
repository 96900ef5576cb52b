//! Small snapshots, made and read.

use std::net::SocketAddr;

use lb_core::{Backend, Snapshot};

/// A backend at this port of the loopback address.
pub fn backend(port: u16) -> Backend {
    Backend::new(SocketAddr::from(([127, 0, 0, 1], port)))
}

/// A snapshot of backends at these ports of the loopback address.
pub fn set(ports: &[u16]) -> Snapshot {
    ports.iter().copied().map(backend).collect()
}

/// The ports of the backends, in the order of the snapshot.
pub fn ports(snapshot: &Snapshot) -> Vec<u16> {
    snapshot.iter().map(|b| b.addr.port()).collect()
}

/// The addresses of the backends, in the order of the snapshot.
pub fn addrs(snapshot: &Snapshot) -> Vec<SocketAddr> {
    snapshot.iter().map(|b| b.addr).collect()
}
