//! Gateways and ListenerSets.

use std::ops::Range;

use super::lines::Lines;
use super::service::addresses;
use crate::addresses::Owner;
use crate::config::Config;
use crate::controller::Look;
use crate::gateway::{Evaluation, Reporter, StatusContext};
use crate::objects::ObjectName;
use crate::services::Feedback;

/// What the objects of the Gateway API mean.
pub(super) fn evaluate<'a>(look: &'a Look, config: &'a Config) -> Evaluation<'a> {
    let stores = look.stores();
    let policies = look.last_valid.policies();
    let controller = &config.gateway_controller;
    Evaluation::new(
        &stores.gateway,
        &stores.services,
        policies,
        controller,
        config.max_ports,
    )
}

/// Calls `report` with what the statuses of the objects will say.
pub(super) fn report<T>(
    look: &Look,
    evaluation: &Evaluation<'_>,
    report: impl FnOnce(Reporter<'_>) -> T,
) -> T {
    let context = StatusContext {
        grants: &look.decision.grants,
        feedback: &Feedback::default(),
        now: "",
    };
    evaluation.report(context, report)
}

pub(super) fn gateway(look: &Look, config: &Config, name: &ObjectName) -> Result<Lines, String> {
    let object = look.stores().gateway.gateways.get(&name.to_string());
    let object = object.ok_or_else(|| format!("there is no Gateway {name}"))?;
    let class = &object.spec.gateway_class_name;
    let evaluation = evaluate(look, config);
    let mut gateways = evaluation.view.gateways.iter();
    let Some(index) = gateways.position(|gateway| gateway.name == *name) else {
        let controller = &config.gateway_controller;
        let reason = match object.metadata.deletion_timestamp {
            Some(_) => "it is being deleted".to_owned(),
            None => format!("no GatewayClass {class} has the controllerName {controller:?}"),
        };
        return Ok(Lines::new(format_args!(
            "Gateway {name} is not served: {reason}"
        )));
    };
    let mut lines = Lines::new(format_args!("Gateway {name} of the class {class}"));
    let known = object.status.addresses.iter();
    let known: Vec<&str> = known.map(|address| &*address.value).collect();
    let owner = Owner::gateway(&name.namespace, &name.name);
    addresses(&mut lines, look, config, &owner, &known);
    report(look, &evaluation, |reporter| {
        let gateway = &evaluation.view.gateways[index];
        lines.conditions(1, &reporter.gateway_reports(index));
        let range = gateway.listeners.clone();
        listeners(&mut lines, 1, look, &evaluation, reporter, range);
        for &set in &gateway.sets {
            let set_view = &evaluation.view.sets[set];
            lines.line(1, format_args!("ListenerSet {}", set_view.name));
            lines.conditions(2, &reporter.set_reports(set));
            let range = set_view.listeners.clone();
            listeners(&mut lines, 2, look, &evaluation, reporter, range);
        }
    });
    Ok(lines)
}

pub(super) fn listener_set(
    look: &Look,
    config: &Config,
    name: &ObjectName,
) -> Result<Lines, String> {
    let object = look.stores().gateway.listener_sets.get(&name.to_string());
    let object = object.ok_or_else(|| format!("there is no ListenerSet {name}"))?;
    let evaluation = evaluate(look, config);
    let mut sets = evaluation.view.sets.iter();
    let Some(index) = sets.position(|set| set.name == *name) else {
        let reason = match object.metadata.deletion_timestamp {
            Some(_) => "it is being deleted",
            None => "its parentRef is no Gateway that this program serves",
        };
        return Ok(Lines::new(format_args!(
            "ListenerSet {name} is not served: {reason}"
        )));
    };
    let set = &evaluation.view.sets[index];
    let gateway = &evaluation.view.gateways[set.gateway].name;
    let mut lines = Lines::new(format_args!("ListenerSet {name} of the Gateway {gateway}"));
    report(look, &evaluation, |reporter| {
        lines.conditions(1, &reporter.set_reports(index));
        let range = set.listeners.clone();
        listeners(&mut lines, 1, look, &evaluation, reporter, range);
    });
    Ok(lines)
}

/// Adds the listeners with these indices: their addresses, what is served there, their routes, and what is wrong.
fn listeners(
    lines: &mut Lines,
    depth: usize,
    look: &Look,
    evaluation: &Evaluation<'_>,
    reporter: Reporter<'_>,
    range: Range<usize>,
) {
    for index in range {
        let spec = evaluation.view.listeners[index].spec;
        let (name, protocol, port) = (&spec.name, &spec.protocol, spec.port);
        lines.line(
            depth,
            format_args!("listener {name}, {protocol} port {port}"),
        );
        lines.conditions(depth + 1, &reporter.listener_reports(index));
        for addr in reporter.assigned(index) {
            if let Some(listener) = look.decision.plan.listeners().get(&addr) {
                lines.line(
                    depth + 1,
                    format_args!("listen {addr}: {}", listener.routing),
                );
            }
        }
        let claims = evaluation.serving.claims.range((index, 0)..(index + 1, 0));
        for (&(_, route), claim) in claims {
            let route = &evaluation.routes[route];
            let share = match (claim.is_served, claim.lost.is_empty()) {
                (true, true) => "gets its connections",
                (true, false) => "gets some of its connections",
                (false, _) => "gets no connection: others have precedence",
            };
            lines.line(
                depth + 1,
                format_args!("{} {} is attached, and {share}", route.kind, route.name),
            );
        }
    }
}
