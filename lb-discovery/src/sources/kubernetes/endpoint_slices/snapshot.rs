//! From EndpointSlices to a set. Pure.

use std::collections::BTreeSet;

use lb_core::Snapshot;

use crate::ip_family::IpFamily;
use crate::sources::kubernetes::objects::condition::{Condition, admit};
use crate::sources::kubernetes::objects::families::Families;
use crate::sources::kubernetes::objects::port;
use crate::sources::kubernetes::objects::service::Service;
use crate::sources::kubernetes::objects::slice::Slice;

/// Computes the set of all slices of `service`, in the order of their names, at its port `port`.
///
/// Fails with the reason if there are endpoints and none can be used, or no slices.
pub(crate) fn snapshot<'a>(
    slices: impl Iterator<Item = &'a Slice> + Clone,
    service: &Service,
    port: &str,
    families: Families,
) -> Result<Snapshot, String> {
    let usable = usable(slices, service, port)?;
    if usable.is_empty() {
        return Ok(Snapshot::default());
    }
    let has_some = |family: &&IpFamily| usable.iter().any(|(s, _)| s.family == Some(**family));
    let family = families.in_order().iter().find(has_some);
    let family = family.ok_or("no endpoint has an address of a family that may be used")?;
    let of_family = usable.iter().filter(|(s, _)| s.family == Some(*family));
    let found = of_family.flat_map(|(slice, port)| {
        let all = slice.endpoints.iter();
        all.map(|endpoint| (endpoint.condition, endpoint.backend(*port)))
    });
    Ok(admit(found.collect()))
}

/// The slices that have endpoints at the port `port`, with its number. Fails with the reason if there is none although
/// there are endpoints. Empty if there are slices and none of them has an endpoint.
fn usable<'a>(
    slices: impl Iterator<Item = &'a Slice> + Clone,
    service: &Service,
    port: &str,
) -> Result<Vec<(&'a Slice, u16)>, String> {
    if slices.clone().next().is_none() {
        return Err(match service.has_selector {
            true => "the Service has no EndpointSlice",
            false => "the Service has no selector, and no EndpointSlice that was made by hand",
        }
        .to_owned());
    }
    let filled = slices.filter(|slice| !slice.is_vacant);
    let judged: Vec<_> = filled
        .map(|slice| (slice, slice.skip_reason(service, port)))
        .collect();
    let kept = judged.iter().filter(|(_, why)| why.is_none());
    let kept = kept.map(|(slice, _)| *slice);
    let with_port = kept.clone().filter_map(|s| Some((s, s.port(port)?)));
    let with_port: Vec<_> = with_port.collect();
    if with_port.is_empty() && kept.clone().next().is_some() {
        let has = has(kept);
        return Err(format!(
            "no endpoint has a TCP port {port:?}, they have: {has}"
        ));
    }
    match judged.first() {
        Some((_, Some(why))) if with_port.is_empty() => {
            Err(format!("every EndpointSlice is skipped; the first: {why}"))
        }
        _ => Ok(with_port),
    }
}

/// The node and the condition of every endpoint of `service` with the port `port`, each endpoint once.
pub(crate) fn per_node<'a>(
    slices: impl Iterator<Item = &'a Slice> + Clone,
    service: &Service,
    family: IpFamily,
    port: &str,
) -> Result<Vec<(&'a str, Condition)>, String> {
    let mut found = Vec::new();
    for (slice, port) in usable(slices, service, port)? {
        if slice.family == Some(family) {
            let on_nodes = slice.endpoints.iter().filter_map(|endpoint| {
                Some((
                    (endpoint.ip, port),
                    endpoint.condition,
                    endpoint.node.as_deref()?,
                ))
            });
            found.extend(on_nodes);
        }
    }
    found.sort_by_key(|(place, condition, _)| (*place, *condition));
    found.dedup_by_key(|(place, ..)| *place);
    let nodes = found.into_iter();
    Ok(nodes
        .map(|(_, condition, node)| (node, condition))
        .collect())
}

fn has<'a>(slices: impl Iterator<Item = &'a Slice>) -> String {
    let ports = slices.flat_map(|slice| &slice.ports);
    let ports = ports.map(|(name, number)| (&**name, number.and_then(port::number)));
    port::list(ports.collect::<BTreeSet<_>>())
}

#[cfg(test)]
mod tests;
