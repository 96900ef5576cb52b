//! Upstreams and their backends.

use std::fmt;
use std::sync::Arc;

use super::lines::Lines;
use crate::controller::{Look, backends};
use crate::plan::UpstreamPlan;

/// Adds the upstreams of the plan that `is_wanted` accepts, with their backends.
pub(super) fn upstreams(
    lines: &mut Lines,
    look: &Look,
    is_wanted: impl Fn(&Arc<str>, &UpstreamPlan) -> bool,
) {
    let upstreams = look.decision.plan.upstreams().iter();
    for (name, plan) in upstreams.filter(|(name, plan)| is_wanted(name, plan)) {
        lines.line(1, format_args!("upstream {name} {plan}"));
        let mut line = |line: fmt::Arguments<'_>| lines.line(2, line);
        match backends(&look.stores, &plan.backends) {
            Err(reason) => line(format_args!("problem: {reason}")),
            Ok(set) if set.is_empty() => line(format_args!("no backend: no pod is ready")),
            Ok(set) => {
                for backend in set.iter() {
                    let addr = backend.addr;
                    let name = backend.name.as_deref().unwrap_or("-");
                    let node = backend.node.as_deref().unwrap_or("-");
                    let weight = backend.weight.get();
                    line(format_args!(
                        "{addr} {name} on node {node}, weight {weight}, {:?}",
                        backend.admin
                    ));
                }
            }
        }
    }
}
