//! The backends of an upstream in one cluster.

use std::sync::Arc;

use lb_discovery::kubernetes::Families;
use lb_discovery::kubernetes::controller::{nodes, pods};
use lb_proxy::lb_core::Snapshot;

use super::stores::Stores;
use crate::plan::{Reach, ServiceTarget};

/// Computes the backends of a port of a Service, labelled as the source of its upstream is: then the upstream shares the set that is kept
/// here instead of labelling a copy.
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
    let outline = service.outline(of.port);
    // Any family will do: a proxy connects by itself.
    let families = Families::PreferIpv4;
    let set = match of.reach {
        Reach::Pods => pods(slices, &outline, of.port, families),
        Reach::Nodes => {
            let all = stores.nodes.values().map(|node| &**node);
            nodes(all, slices, &outline, of.port, families)
        }
    };
    set.map(|set| labelled(&set, of))
}

fn labelled(set: &Snapshot, of: &ServiceTarget) -> Snapshot {
    let label: Arc<str> = of.source_label().into();
    let backends = set.iter().map(|backend| {
        let mut backend = backend.clone();
        backend.source = Some(Arc::clone(&label));
        backend
    });
    backends.collect()
}
