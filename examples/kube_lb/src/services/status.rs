//! The status of a Service.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use super::ours::tcp_ports;
use super::planner::{Feedback, PlannedService, upstream_name};
use super::port_error::{PortProblem, TOO_MANY};
use crate::addresses::Grant;
use crate::names::{DOMAIN, qualified};
use crate::objects::{Condition, ConditionStatus, Ingress, PortStatus, Service, ServicePort};

/// The longest message of a condition.
const LONGEST: usize = 1024;

/// The status that a Service should have.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ServiceReport {
    /// Its addresses.
    pub ingress: Vec<Ingress>,
    /// Its conditions, of this program alone.
    pub conditions: Vec<Condition>,
}

/// Computes the status of a Service. `now`: as the API writes times.
pub fn report(
    planned: &PlannedService,
    grant: &Grant,
    feedback: &Feedback,
    max_ports: usize,
    now: &str,
) -> ServiceReport {
    let service = &planned.service;
    let served = tcp_ports(service, max_ports).map(|(_, number)| number);
    let served: BTreeSet<_> = served.collect();
    let ports = Ports {
        planned,
        grant,
        feedback,
        served: &served,
    };
    let ingress = grant.addresses.iter().map(|ip| Ingress {
        ip: ip.to_string(),
        ip_mode: Some("Proxy".to_owned()),
        ports: service
            .spec
            .ports
            .iter()
            .filter_map(|port| ports.status(*ip, port))
            // An object has at most 1.5 MiB, its status included.
            .take(2 * max_ports)
            .collect(),
    });
    let conditions = [
        ports.assigned(),
        ports.serving(),
        ports.backends(),
        settings_valid(planned),
    ];
    let conditions = conditions.into_iter().chain(ports.joined());
    let conditions = conditions.map(|condition| dated(condition, service, now));
    ServiceReport {
        ingress: ingress.collect(),
        conditions: conditions.collect(),
    }
}

impl ServiceReport {
    /// Whether the status says this already.
    pub fn is_written(&self, service: &Service) -> bool {
        let status = &service.status;
        let known = |wanted: &Condition| {
            let mut known = status.conditions.iter();
            known.any(|known| known == wanted)
        };
        let is_wanted = |known: &Condition| {
            let mut wanted = self.conditions.iter();
            !known.kind.starts_with(DOMAIN) || wanted.any(|wanted| wanted.kind == known.kind)
        };
        status.load_balancer.ingress == self.ingress
            && self.conditions.iter().all(known)
            && status.conditions.iter().all(is_wanted)
    }
}

struct Ports<'a> {
    planned: &'a PlannedService,
    grant: &'a Grant,
    feedback: &'a Feedback,
    /// The TCP ports that are served.
    served: &'a BTreeSet<u16>,
}

impl Ports<'_> {
    /// The entry of a port. Ports above the limit have none.
    fn status(&self, ip: IpAddr, port: &ServicePort) -> Option<PortStatus> {
        let error = self.problem(ip, port).map(|problem| problem.error());
        (error != Some(TOO_MANY)).then(|| PortStatus {
            port: port.port,
            protocol: port.protocol.clone().unwrap_or_else(|| "TCP".to_owned()),
            error: error.map(str::to_owned),
        })
    }

    /// Why a port is not served at an address.
    fn problem<'p>(&'p self, ip: IpAddr, port: &'p ServicePort) -> Option<PortProblem<'p>> {
        if !port.is_tcp() {
            return Some(PortProblem::Unsupported(port));
        }
        let Some(number) = port.number().filter(|number| self.served.contains(number)) else {
            let limit = self.served.len();
            return Some(PortProblem::TooMany { port, limit });
        };
        let addr = SocketAddr::new(ip, number);
        if let Some(owner) = self.grant.lost.get(&(ip, number)) {
            return Some(PortProblem::Conflict { owner, addr });
        }
        let problem = self.feedback.listening.get(&addr)?;
        Some(PortProblem::NotListening { addr, problem })
    }

    /// Whether it has the addresses that it asks for.
    fn assigned(&self) -> Condition {
        let problems: Vec<_> = self
            .grant
            .problems
            .iter()
            .map(ToString::to_string)
            .collect();
        let addresses: Vec<_> = self
            .grant
            .addresses
            .iter()
            .map(ToString::to_string)
            .collect();
        if self.served.is_empty() {
            return condition(
                "AddressAssigned",
                false,
                "NoPort",
                "the Service has no TCP port".to_owned(),
            );
        }
        match problems.is_empty() {
            true => condition("AddressAssigned", true, "Assigned", addresses.join(", ")),
            false if addresses.is_empty() => {
                condition("AddressAssigned", false, "NoAddress", problems.join("; "))
            }
            false => condition(
                "AddressAssigned",
                false,
                "AddressMissing",
                problems.join("; "),
            ),
        }
    }

    /// Whether all its ports are served.
    fn serving(&self) -> Condition {
        if self.grant.addresses.is_empty() {
            return condition(
                "Serving",
                false,
                "NoAddress",
                "the Service has no address".to_owned(),
            );
        }
        let (mut reason, mut sentences) = (None, Vec::new());
        let mut length = 0;
        let addresses = self.grant.addresses.iter();
        let ports = &self.planned.service.spec.ports;
        for (ip, port) in addresses.flat_map(|ip| ports.iter().map(move |port| (*ip, port))) {
            let Some(problem) = self.problem(ip, port) else {
                continue;
            };
            reason.get_or_insert_with(|| problem.error());
            let sentence = problem.to_string();
            // A wrong protocol is wrong at every address.
            if !sentences.contains(&sentence) {
                length += sentence.len();
                sentences.push(sentence);
            }
            // A Service may have 65535 wrong ports.
            if length > LONGEST {
                break;
            }
        }
        match reason {
            None => condition(
                "Serving",
                true,
                "Serving",
                "every port is served".to_owned(),
            ),
            Some(error) => {
                let reason = error.rsplit('/').next().unwrap_or(error);
                condition("Serving", false, reason, sentences.join("; "))
            }
        }
    }

    /// Whether its endpoints can be found.
    fn backends(&self) -> Condition {
        let problems = self.served.iter().filter_map(|port| {
            let name = upstream_name(&self.planned.request.owner, *port);
            let problem = self.feedback.backends.get(&name)?;
            Some(format!("port {port}: {problem}"))
        });
        let problems: Vec<_> = problems.collect();
        match problems.is_empty() {
            true => condition(
                "BackendsResolved",
                true,
                "Resolved",
                "the endpoints are known".to_owned(),
            ),
            false => condition(
                "BackendsResolved",
                false,
                "NoEndpoints",
                problems.join("; "),
            ),
        }
    }
}

impl Ports<'_> {
    /// Whether every cluster feeds it, if there are several and it asks for that.
    fn joined(&self) -> Option<Condition> {
        let clusters = &self.feedback.clusters;
        if clusters.is_empty() || !self.planned.service.is_global() {
            return None;
        }
        let stale = clusters.iter().filter_map(|(name, stale)| {
            let stale = stale.as_ref()?;
            Some(format!("{name}: {stale}"))
        });
        let of_ports = self.served.iter().flat_map(|port| {
            let name = upstream_name(&self.planned.request.owner, *port);
            let problems = self.feedback.in_clusters.get(&name);
            let problems = problems.into_iter().flatten();
            problems.map(move |(cluster, problem)| format!("{cluster}, port {port}: {problem}"))
        });
        let problems: Vec<_> = stale.chain(of_ports).collect();
        Some(match problems.is_empty() {
            true => {
                let names: Vec<_> = clusters.keys().map(String::as_str).collect();
                let text = format!(
                    "the Services of this name in these clusters count as well: {}",
                    names.join(", ")
                );
                condition("ClustersJoined", true, "Joined", text)
            }
            false => condition(
                "ClustersJoined",
                false,
                "ClusterProblem",
                problems.join("; "),
            ),
        })
    }
}

/// Whether its annotations and fields are valid.
fn settings_valid(planned: &PlannedService) -> Condition {
    let problems = &planned.problems;
    match problems.is_empty() {
        true => condition(
            "SettingsValid",
            true,
            "Valid",
            "every annotation is valid".to_owned(),
        ),
        false => condition(
            "SettingsValid",
            false,
            "InvalidSetting",
            problems.to_string(),
        ),
    }
}

fn condition(kind: &str, holds: bool, reason: &str, message: String) -> Condition {
    let message = match message.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}...", &message[..end]),
        None => message,
    };
    Condition {
        kind: qualified(kind),
        status: match holds {
            true => ConditionStatus::True,
            false => ConditionStatus::False,
        },
        reason: reason.to_owned(),
        message,
        observed_generation: None,
        last_transition_time: String::new(),
    }
}

/// `condition` with the time at which its status began.
fn dated(condition: Condition, service: &Service, now: &str) -> Condition {
    let mut known = service.status.conditions.iter();
    let known = known.find(|known| known.kind == condition.kind);
    let since = known.filter(|known| known.status == condition.status);
    let since = since.map(|known| known.last_transition_time.as_str());
    Condition {
        last_transition_time: since.unwrap_or(now).to_owned(),
        ..condition
    }
}
