//! Upstreams and their backends.

use std::fmt;
use std::sync::Arc;

use super::lines::Lines;
use crate::clusters::{JoinedSet, join};
use crate::controller::Look;
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
        let JoinedSet { set, problems } = join(look.clusters.sets(&plan.backends));
        for (cluster, problem) in problems.iter().filter(|_| set.is_ok()) {
            line(format_args!("problem in the cluster {cluster}: {problem}"));
        }
        match set {
            Err(reason) => line(format_args!("problem: {reason}")),
            Ok(set) if set.is_empty() => line(format_args!("no backend: no pod is ready")),
            Ok(set) => {
                for backend in set.iter() {
                    let addr = backend.addr;
                    let name = backend.name.as_deref().unwrap_or("-");
                    let node = backend.node.as_deref().unwrap_or("-");
                    let weight = backend.weight.get();
                    let priority = match backend.priority.get() {
                        0 => String::new(),
                        priority => format!("priority {priority}, "),
                    };
                    line(format_args!(
                        "{addr} {name} on node {node}, {priority}weight {weight}, {:?}",
                        backend.admin
                    ));
                }
            }
        }
    }
}
