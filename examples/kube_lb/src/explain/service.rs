//! Services.

use super::backends::upstreams;
use super::lines::Lines;
use crate::addresses::Owner;
use crate::config::Config;
use crate::controller::Look;
use crate::names::GLOBAL;
use crate::objects::ObjectName;
use crate::services::check_ours;

pub(super) fn service(look: &Look, config: &Config, name: &ObjectName) -> Result<Lines, String> {
    let service = look.stores().services.get(&name.to_string());
    let service = service.ok_or_else(|| format!("there is no Service {name}"))?;
    if let Err(reason) = check_ours(service, config) {
        return Ok(Lines::new(format_args!(
            "Service {name} is not served: {reason}"
        )));
    }
    let owner = Owner::service(&name.namespace, &name.name);
    let mut lines = Lines::new(format_args!("Service {name} is served"));
    let status = &service.status.load_balancer.ingress;
    let known: Vec<&str> = status.iter().map(|ingress| &*ingress.ip).collect();
    if service.is_global() && config.clusters.len() == 1 {
        let text = "its label has no effect: the configuration has one cluster";
        lines.line(1, format_args!("note: {GLOBAL}: {text}"));
    }
    addresses(&mut lines, look, config, &owner, &known);
    let decision = &look.decision;
    let planned = decision
        .services
        .iter()
        .find(|planned| planned.request.owner == owner);
    let problems = planned
        .into_iter()
        .flat_map(|planned| planned.problems.lines());
    for problem in problems {
        lines.line(1, format_args!("problem: {problem}"));
    }
    for port in service.spec.ports.iter().filter(|port| !port.is_tcp()) {
        lines.line(1, format_args!("problem: port {} is not of TCP", port.port));
    }
    let listeners = decision.plan.listeners().iter();
    for (addr, listener) in listeners.filter(|(_, listener)| listener.owner == owner) {
        lines.line(
            1,
            format_args!("listen {addr}, {}: {}", listener.part, listener.routing),
        );
    }
    upstreams(&mut lines, look, |_, plan| plan.backends.service == *name);
    Ok(lines)
}

/// Adds the addresses of an object, of which its status knows some, and why it does not have others.
pub(super) fn addresses(
    lines: &mut Lines,
    look: &Look,
    config: &Config,
    owner: &Owner,
    known: &[&str],
) {
    let Some(grant) = look.decision.grants.get(owner) else {
        return;
    };
    for ip in &grant.addresses {
        let pool = config.pools.of(*ip).map_or("no pool", |pool| &pool.name);
        let memory = match known.contains(&&*ip.to_string()) {
            true => "its status has it",
            false => "its status does not have it yet",
        };
        lines.line(
            1,
            format_args!("address {ip} of the pool {pool:?}: {memory}"),
        );
    }
    for problem in &grant.problems {
        lines.line(1, format_args!("problem: {problem}"));
    }
    for ((ip, port), other) in &grant.lost {
        lines.line(1, format_args!("problem: {other} has port {port} of {ip}"));
    }
}
