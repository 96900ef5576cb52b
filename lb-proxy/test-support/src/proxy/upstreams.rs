//! Upstreams that publish their backends at once.

use std::net::SocketAddr;
use std::time::Duration;

use lb_core::policy::{PolicyKind, WeightedRoundRobin};
use lb_core::{Backend, Snapshot, Weight};
use lb_discovery::{DriverConfig, Manual, ManualHandle, Static};
use lb_proxy::Upstream;
use lb_proxy::balancing::OnBackendLoss;

/// An upstream of the backend at `addr`, which the handle can remove. The removal closes its sessions at once.
pub fn removable(addr: SocketAddr) -> (Upstream, ManualHandle, Backend) {
    let backend = Backend::new(addr);
    let (manual, sources) = Manual::new([backend.clone()].into_iter().collect());
    let upstream = Upstream::builder("removable")
        .discovery(manual)
        .discovery_config(eager())
        .on_removed(OnBackendLoss::Close {
            spread: Duration::ZERO,
        })
        .build()
        .unwrap();
    (upstream, sources, backend)
}

/// An upstream of `backends` under weighted round robin.
pub fn upstream(backends: impl IntoIterator<Item = Backend>) -> Upstream {
    Upstream::builder("test")
        .discovery(Static::new(Snapshot::from_backends(backends)))
        .policy(WeightedRoundRobin::new())
        .discovery_config(eager())
        .build()
        .unwrap()
}

/// An upstream of addresses with weights, under `policy`.
pub fn pool(
    name: &str,
    policy: PolicyKind,
    backends: impl IntoIterator<Item = (SocketAddr, u16)>,
) -> Upstream {
    let backends = backends
        .into_iter()
        .map(|(addr, weight)| Backend::new(addr).weight(Weight::new(weight)));
    Upstream::builder(name)
        .discovery(Static::new(Snapshot::from_backends(backends)))
        .policy(policy.build())
        .discovery_config(eager())
        .build()
        .unwrap()
}

/// An upstream of one backend, with a name.
pub fn round_robin(name: &str, backend: SocketAddr) -> Upstream {
    pool(name, PolicyKind::WeightedRoundRobin, [(backend, 1)])
}

/// Connections in flight to all backends.
pub fn in_flight(upstream: &Upstream) -> u32 {
    let set = upstream.backends();
    let status = set.status(upstream.now());
    status.map(|status| status.in_flight).sum()
}

/// Publishes a change without waiting for more changes.
pub fn eager() -> DriverConfig {
    DriverConfig::default().debounce(Duration::from_millis(1))
}
