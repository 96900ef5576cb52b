//! The listeners and upstreams of Gateways in the plan of the proxy.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use ipnet::IpNet;
use lb_proxy::lb_core::policy::PolicyKind;

use super::address;
use super::attach::Route;
use super::backends::{BackendTarget, ReferencedPort};
use super::evaluation::{Evaluation, Grants};
use super::host_pattern::HostPattern;
use super::serving::{PortPlan, Served};
use crate::plan::{
    Destination, ListenerPlan, NamedTargets, Plan, PolicyPlan, Reach, RouteName, Routing,
    ServiceTarget, SessionPlan, Targets, UpstreamPlan, WeightedTarget,
};

/// The most listeners of a port that are named: thousands may have one port, with other host names.
const MOST_NAMED: usize = 8;

impl Evaluation<'_> {
    /// Adds what the Gateways serve at the addresses that they have. `reach`: how pods are reached.
    pub(crate) fn add_to(&self, plan: &mut Plan, grants: &Grants, reach: Reach) {
        for port in &self.serving.ports {
            let Some(grant) = self.grant(port.gateway, grants) else {
                continue;
            };
            let granted = grant
                .addresses
                .iter()
                .filter(|ip| grant.has(**ip, port.port));
            for ip in granted {
                let listener = ListenerPlan {
                    owner: address::owner(&self.view.gateways[port.gateway]),
                    part: self.part(port),
                    routes: self.route_names(port),
                    routing: self.routing(port),
                    sessions: self.sessions(port),
                };
                let listened = plan.listen(SocketAddr::new(*ip, port.port), listener);
                debug_assert!(listened.is_ok(), "grants give a port to one object");
                self.add_upstreams(port, plan, reach);
            }
        }
    }

    /// The names of the first listeners of a port, for messages and labels.
    fn part(&self, port: &PortPlan) -> String {
        let listeners = port.listeners.iter().take(MOST_NAMED);
        let names = listeners.map(|&i| &*self.view.listeners[i].spec.name);
        let names = names.collect::<Vec<_>>().join(", ");
        match port.listeners.len().saturating_sub(MOST_NAMED) {
            0 => format!("listener {names}"),
            others => format!("listener {names} and {others} more"),
        }
    }

    fn routing(&self, port: &PortPlan) -> Routing {
        match &port.served {
            Served::Nothing => Routing::Plain(refused("no route is attached to the listener")),
            Served::Tcp(route) => Routing::Plain(self.targets(*route)),
            Served::Tls(table) => self.tls(table),
        }
    }

    fn tls(&self, table: &BTreeMap<HostPattern, Option<usize>>) -> Routing {
        let mut hosts: BTreeMap<Option<usize>, Vec<String>> = BTreeMap::new();
        let mut other = None;
        for (host, route) in table {
            match host {
                HostPattern::Any => other = *route,
                _ => hosts.entry(*route).or_default().push(host.to_string()),
            }
        }
        let names = hosts.into_iter().map(|(route, hosts)| NamedTargets {
            hosts,
            targets: match route {
                Some(route) => self.targets(route),
                None => refused("no route of the listener has the name"),
            },
        });
        Routing::Tls {
            names: names.collect(),
            other: other.map(|route| self.targets(route)),
        }
    }

    /// Where the connections of the route with this number go.
    pub(crate) fn targets(&self, route: usize) -> Targets {
        let shares = self.routes[route].backends.shares.iter();
        let targets = shares.map(|(weight, to)| WeightedTarget {
            weight: *weight,
            destination: match to {
                BackendTarget::Refuse(reason) => Destination::Refuse(reason.as_str().into()),
                BackendTarget::Service(port) => {
                    Destination::Upstream(self.upstream_name(route, port))
                }
            },
        });
        Targets(targets.collect())
    }

    fn route_names(&self, port: &PortPlan) -> Vec<RouteName> {
        let routes = port.served.routes().into_iter();
        let names = routes.map(|route| RouteName {
            kind: self.routes[route].kind.name(),
            name: self.routes[route].name.clone(),
        });
        names.collect()
    }

    fn add_upstreams(&self, port: &PortPlan, plan: &mut Plan, reach: Reach) {
        for route in port.served.routes() {
            for (_, to) in &self.routes[route].backends.shares {
                if let BackendTarget::Service(port) = to {
                    let backends = ServiceTarget {
                        service: port.service.clone(),
                        port: port.port,
                        reach,
                    };
                    let mut upstream = UpstreamPlan::new(backends);
                    upstream.policy = PolicyPlan {
                        kind: PolicyKind::WeightedRoundRobin,
                    };
                    if let Some(policy) = self.policies.of_route(route) {
                        policy.settings.apply_to_upstream(&mut upstream);
                    }
                    plan.upstream(self.upstream_name(route, port), upstream);
                }
            }
        }
    }

    /// The settings of the sessions of a port: those of its listeners, and then those of the route that has all its sessions. Both
    /// must admit a client.
    fn sessions(&self, port: &PortPlan) -> SessionPlan {
        let mut sessions = SessionPlan::default();
        let of_port = self.policies.of_port(port, &self.view);
        let of_route = match port.served {
            Served::Tcp(route) => self.policies.of_route(route),
            Served::Nothing | Served::Tls(_) => None,
        };
        for policy in of_port.into_iter().chain(of_route) {
            policy.settings.apply_to_sessions(&mut sessions);
            if let Some(sources) = &policy.sources {
                sessions.sources = Some(match sessions.sources.take() {
                    None => sources.clone(),
                    Some(others) => intersection(&others, sources),
                });
            }
        }
        sessions
    }

    /// The name of the upstream of a port of a Service that a route refers to, which metrics and logs show. Routes without settings
    /// of their own share it. The Service itself may be of type LoadBalancer, with settings and an upstream of its own.
    fn upstream_name(&self, route: usize, port: &ReferencedPort) -> Arc<str> {
        let policy = self.policies.of_route(route);
        let of = match policy.is_some_and(|policy| policy.has_backend_settings()) {
            true => {
                let Route { kind, name, .. } = &self.routes[route];
                format!("{kind} {name}")
            }
            false => "routes".to_owned(),
        };
        format!("{}:{} of {of}", port.service, port.port).into()
    }
}

/// The networks that both lists admit.
fn intersection(one: &[IpNet], other: &[IpNet]) -> Vec<IpNet> {
    let both = one.iter().flat_map(|a| {
        other
            .iter()
            .filter_map(move |b| match (a.contains(b), b.contains(a)) {
                (true, _) => Some(*b),
                (false, true) => Some(*a),
                (false, false) => None,
            })
    });
    both.collect()
}

fn refused(reason: &str) -> Targets {
    Targets(vec![WeightedTarget {
        weight: 1,
        destination: Destination::Refuse(reason.into()),
    }])
}
