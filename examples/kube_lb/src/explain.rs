//! What happens to one Service, and why.

use std::fmt::Write;
use std::net::SocketAddr;

use crate::addresses::Owner;
use crate::clusters::{JoinedSet, join};
use crate::config::Config;
use crate::controller::Look;
use crate::names::GLOBAL;
use crate::objects::ObjectName;
use crate::services::check_ours;

/// Explains the Service `name` in `namespace`: whether it is served, its addresses, where they come from, its listeners, its backends and
/// what is wrong.
///
/// # Errors
///
/// If there is no such Service.
pub fn service(
    looked: &Look,
    config: &Config,
    namespace: &str,
    name: &str,
) -> Result<String, String> {
    let Look {
        clusters, decision, ..
    } = looked;
    let stores = clusters.primary();
    let key = format!("{namespace}/{name}");
    let service = stores.services.get(&key);
    let service = service.ok_or_else(|| format!("there is no Service {key}"))?;
    if let Err(reason) = check_ours(service, config) {
        return Ok(format!("Service {key} is not served: {reason}\n"));
    }
    let owner = Owner::service(namespace, name);
    let mut text = format!("Service {key} is served\n");
    let mut line = |line: std::fmt::Arguments<'_>| {
        // Writing to a text cannot fail.
        let _ = writeln!(text, "  {line}");
    };
    for cluster in looked.about_clusters() {
        line(format_args!("{cluster}"));
    }
    if service.is_global() && config.clusters.len() == 1 {
        line(format_args!(
            "its label {GLOBAL} has no effect: the configuration has one cluster"
        ));
    }
    if let Some(grant) = decision.grants.get(&owner) {
        for ip in &grant.addresses {
            let pool = config.pools.of(*ip).map_or("no pool", |pool| &pool.name);
            let status = &service.status.load_balancer.ingress;
            let known = status.iter().any(|ingress| ingress.ip == ip.to_string());
            let memory = if known {
                "its status has it"
            } else {
                "its status does not have it yet"
            };
            line(format_args!("address {ip} of the pool {pool:?}: {memory}"));
        }
        for problem in &grant.problems {
            line(format_args!("problem: {problem}"));
        }
        for ((ip, port), other) in &grant.lost {
            line(format_args!("problem: {other} has port {port} of {ip}"));
        }
    }
    let planned = decision
        .services
        .iter()
        .find(|planned| planned.request.owner == owner);
    for problem in planned.into_iter().flat_map(|planned| &planned.problems) {
        line(format_args!("problem: {problem}"));
    }
    for port in service.spec.ports.iter().filter(|port| !port.is_tcp()) {
        line(format_args!("problem: port {} is not of TCP", port.port));
    }
    let listeners = decision.plan.listeners().iter();
    for (addr, listener) in listeners.filter(|(_, listener)| listener.owner == owner) {
        line(format_args!(
            "listen {addr}, {}: {}",
            listener.part, listener.routing
        ));
    }
    for (upstream, plan) in decision.plan.upstreams() {
        if plan.backends.service != ObjectName::new(namespace, name) {
            continue;
        }
        line(format_args!("upstream {upstream} {plan}"));
        let JoinedSet { set, problems } = join(clusters.sets(&plan.backends));
        for (cluster, problem) in problems.iter().filter(|_| set.is_ok()) {
            line(format_args!(
                "  problem in the cluster {cluster}: {problem}"
            ));
        }
        match set {
            Err(reason) => line(format_args!("  problem: {reason}")),
            Ok(set) if set.is_empty() => line(format_args!("  no backend: no pod is ready")),
            Ok(set) => {
                for backend in set.iter() {
                    let addr: SocketAddr = backend.addr;
                    let name = backend.name.as_deref().unwrap_or("-");
                    let node = backend.node.as_deref().unwrap_or("-");
                    let weight = backend.weight.get();
                    let priority = match backend.priority.get() {
                        0 => String::new(),
                        priority => format!("priority {priority}, "),
                    };
                    line(format_args!(
                        "  {addr} {name} on node {node}, {priority}weight {weight}, {:?}",
                        backend.admin
                    ));
                }
            }
        }
    }
    Ok(text)
}
