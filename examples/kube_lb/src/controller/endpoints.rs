//! The backends of an upstream in one cluster.

use lb_discovery::kubernetes::Families;
use lb_discovery::kubernetes::controller::{nodes, pods};
use lb_proxy::lb_core::Snapshot;

use super::stores::Stores;
use crate::plan::{Reach, ServiceTarget};

/// Computes the backends of a port of a Service.
///
/// # Errors
///
/// Why there are none, if that is not simply that no pod is ready.
pub(super) fn cluster_set(stores: &Stores, of: &ServiceTarget) -> Result<Snapshot, String> {
    let key = of.service.to_string();
    let service = stores.service_of(of).ok_or("no such Service")?;
    let slices = stores
        .slices
        .get(&key)
        .into_iter()
        .flat_map(|slices| slices.values());
    let slices = slices.map(|slice| &**slice);
    let outline = service.outline();
    // Any family will do: a proxy connects by itself.
    let families = Families::PreferIpv4;
    match of.reach {
        Reach::Pods => pods(slices, &outline, of.port, families),
        Reach::Nodes => {
            let all = stores.nodes.values().map(|node| &**node);
            nodes(all, slices, &outline, of.port, families)
        }
    }
}
