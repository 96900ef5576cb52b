//! TCPRoutes and TLSRoutes.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::backends::upstreams;
use super::gateway::{evaluate, report};
use super::lines::Lines;
use crate::config::Config;
use crate::controller::Look;
use crate::gateway::{RouteKind, reference};
use crate::objects::ObjectName;
use crate::plan::{Destination, WeightedTarget};

pub(super) fn route(
    look: &Look,
    config: &Config,
    kind: RouteKind,
    name: &ObjectName,
) -> Result<Lines, String> {
    let (objects, key) = (&look.stores().gateway, name.to_string());
    let exists = match kind {
        RouteKind::Tcp => objects.tcp_routes.contains_key(&key),
        RouteKind::Tls => objects.tls_routes.contains_key(&key),
    };
    if !exists {
        return Err(format!("there is no {kind} {name}"));
    }
    let evaluation = evaluate(look, config);
    let mut routes = evaluation.routes.iter();
    let Some(number) = routes.position(|route| route.kind == kind && route.name == *name) else {
        return Ok(Lines::new(format_args!(
            "{kind} {name} is not served: none of its parentRefs is a Gateway or ListenerSet that this program serves, or it is being deleted"
        )));
    };
    let route = &evaluation.routes[number];
    let mut lines = Lines::new(format_args!("{kind} {name}"));
    report(look, &evaluation, |reporter| {
        for parent in &route.parents {
            lines.line(1, format_args!("parent {}", reference(parent.reference)));
            lines.conditions(2, &reporter.parent_reports(number, parent));
            for attachment in parent.outcome.iter().flatten() {
                let listener = evaluation.view.listeners[attachment.listener].spec;
                let addrs = reporter.assigned(attachment.listener);
                let addrs: Vec<String> = addrs.iter().map(ToString::to_string).collect();
                lines.line(
                    2,
                    format_args!("listener {}, at {}", listener.name, addrs.join(", ")),
                );
            }
        }
    });
    let targets = evaluation.targets(number);
    for WeightedTarget {
        weight,
        destination,
    } in &targets.0
    {
        match destination {
            Destination::Upstream(name) => lines.line(1, format_args!("weight {weight}: {name}")),
            Destination::Refuse(reason) => {
                lines.line(1, format_args!("weight {weight}: refused: {reason}"));
            }
        }
    }
    let own: BTreeSet<&Arc<str>> = targets.upstreams().collect();
    upstreams(&mut lines, look, |name, _| own.contains(name));
    Ok(lines)
}
